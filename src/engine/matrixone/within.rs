//! Which versions belong to a state, in words that the server understands. Three ways, from the fastest to the one
//! that always works; whoever asks leaves out what is not in the state in any case, so that an answer never depends on
//! the way.

use roaring::RoaringBitmap;

use super::truth::Reader;
use super::{row, sql};
use crate::engine::At;
use crate::engine::history::Truth;
use crate::error::Result;

/// Numbers that a condition names at most: 500 of them cost a question to 100,000 versions a millisecond.
const NUMBERS_MAX: usize = 1_000;
/// Longer gaps between a state's numbers are named by their ends: so many at most.
const GAPS_MAX: usize = 16;
/// Up to this length, a gap is named by its numbers.
const SHORT_GAP: u32 = 16;

/// How the versions of a state are told from others. `t` is the table that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Within {
    /// By a condition on `t.vid`.
    Said(String),
    /// By a branch's table, which holds them and no others.
    Table(u32),
    /// Not at all.
    Unsaid,
}

impl Within {
    /// The fastest way there is for a state.
    pub fn of(reader: &Reader, at: &At) -> Result<Self> {
        if let Some(said) = said(&at.state) {
            return Ok(Self::Said(said));
        }
        let Some(number) = reader.number_of(at.commit)? else { return Ok(Self::Unsaid) };
        let found = reader.first(sql::LIVE_AT, vec![number.into()])?;
        Ok(found.map(row).transpose()?.map_or(Self::Unsaid, |(table,)| Self::Table(table)))
    }

    /// Whether a branch's table still holds the state: other daemons move heads.
    pub fn still_holds(&self, reader: &Reader, at: &At) -> Result<bool> {
        match self {
            Self::Table(table) => {
                let (table, number) = (*table, reader.number_of(at.commit)?);
                Ok(reader.first(sql::IS_LIVE_AT, vec![table.into(), number.into()])?.is_some())
            }
            Self::Said(_) | Self::Unsaid => Ok(true),
        }
    }

    /// The table `t` with what it needs beside it. `has_filter` says that columns are needed that `t` lacks.
    pub fn of_table(&self, table: &str, has_filter: bool) -> String {
        match self {
            Self::Table(live) => sql::beside(table, &sql::live(*live)),
            Self::Said(_) | Self::Unsaid if has_filter => sql::beside(table, "versions"),
            Self::Said(_) | Self::Unsaid => sql::alone(table),
        }
    }

    /// The rows by which versions are filtered, as `t`.
    pub fn faces(&self) -> String {
        match self {
            Self::Table(live) => sql::alone(&sql::live(*live)),
            Self::Said(_) | Self::Unsaid => sql::alone("versions"),
        }
    }

    /// What a condition says beside others: empty, or with ` and ` before it.
    pub fn and(&self) -> String {
        match self {
            Self::Said(said) => format!(" and {said}"),
            Self::Table(_) | Self::Unsaid => String::new(),
        }
    }
}

/// A condition on `t.vid` that means these versions, if it can be short.
fn said(state: &RoaringBitmap) -> Option<String> {
    if state.len() <= NUMBERS_MAX as u64 {
        return Some(format!("t.vid in ({})", sql::numbers(state)));
    }
    let (first, last) = (state.min()?, state.max()?);
    let mut said = format!("t.vid between {first} and {last}");
    let (mut missing, mut gaps, mut next) = (Vec::new(), 0, first);
    let mut runs = state.iter();
    while let Some(run) = runs.next_range() {
        if run.start() - next > SHORT_GAP {
            gaps += 1;
            said += &format!(" and not (t.vid between {next} and {})", run.start() - 1);
        } else {
            missing.extend(next..*run.start());
        }
        if missing.len() > NUMBERS_MAX || gaps > GAPS_MAX {
            return None;
        }
        next = run.end().saturating_add(1);
    }
    if !missing.is_empty() {
        said += &format!(" and t.vid not in ({})", sql::numbers(missing));
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a condition of ours lets through, of `0..end`.
    fn meant(said: &str, end: u32) -> RoaringBitmap {
        let list = |text: &str| -> Vec<u32> { text.split(',').filter_map(|number| number.parse().ok()).collect() };
        let ends = |text: &str| -> (u32, u32) {
            let (first, last) = text.split_once(" and ").unwrap();
            (first.parse().unwrap(), last.trim_end_matches(')').parse().unwrap())
        };
        let mut all: RoaringBitmap = (0..end).collect();
        for part in said.split(" and t.vid").flat_map(|part| part.split(" and not (t.vid").enumerate()) {
            let (is_not, part) = (part.0 > 0, part.1.trim_start_matches("t.vid").trim_start());
            if let Some(numbers) = part.strip_prefix("in (") {
                all &= list(numbers.trim_end_matches(')')).into_iter().collect::<RoaringBitmap>();
            } else if let Some(numbers) = part.strip_prefix("not in (") {
                all -= list(numbers.trim_end_matches(')')).into_iter().collect::<RoaringBitmap>();
            } else {
                let (first, last) = ends(part.strip_prefix("between ").unwrap());
                let range: RoaringBitmap = (first..=last).collect();
                if is_not { all -= range } else { all &= range }
            }
        }
        all
    }

    #[test]
    fn a_condition_means_the_state_or_there_is_none() {
        let every = |step: usize| (0..40_000u32).step_by(step).collect::<RoaringBitmap>();
        let mut long_gaps: RoaringBitmap = (0..30_000).collect();
        for n in 1..9u32 {
            long_gaps.remove_range(n * 1_000..n * 1_000 + n * 9);
        }
        let mut holes: RoaringBitmap = (7..30_000).collect();
        holes -= every(97);
        for state in [every(1), every(50), long_gaps, holes] {
            let said = said(&state).unwrap();
            assert_eq!(meant(&said, 50_000), state, "{said}");
        }
        assert_eq!(said(&every(2)), None);
    }
}
