//! Branches' tables. Each holds the live rows of its branch's head and is changed in the transaction that moves the
//! head. A new one is a copy of the nearest there is, which the server makes without copying.

use mysql_async::Value;
use roaring::RoaringBitmap;

use super::session::Session;
use super::sql;
use super::store::PATIENCE;
use super::truth::Reader;
use crate::engine::history::rows::Delta;
use crate::error::Result;

/// Numbers in one statement.
const NUMBERS_MAX: usize = 1_000;

/// A branch's table, and the number of the commit whose state it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    pub table: u32,
    pub number: u32,
}

/// Every branch's.
pub fn all(session: &mut Session) -> Result<Vec<Live>> {
    let rows = session.rows(sql::LIVES, vec![])?;
    rows.into_iter().map(|row| super::row(row).map(|(table, number)| Live { table, number })).collect()
}

/// Takes rows out of a table and brings others in, from `versions`.
pub fn change(session: &mut Session, table: u32, delta: &Delta) -> Result<()> {
    match run(&delta.removed) {
        Some(run) => drop(session.run(&sql::take_out_run(table), run)?),
        None => parts(&delta.removed).iter().try_for_each(|part| session.text(&sql::take_out(table, part)))?,
    }
    match run(&delta.added) {
        Some(run) => session.run(&sql::bring_in_run(table), run).map(drop),
        None => parts(&delta.added).iter().try_for_each(|part| session.text(&sql::bring_in(table, part))),
    }
}

/// The ends of numbers that stand together, as those of most writes do.
fn run(vids: &RoaringBitmap) -> Option<Vec<Value>> {
    let mut runs = vids.iter();
    let run = runs.next_range()?;
    runs.next().is_none().then(|| vec![(*run.start()).into(), (*run.end()).into()])
}

/// A table that holds a state, made of the nearest of those there are.
pub fn make(ground: &Reader, state: &RoaringBitmap) -> Result<u32> {
    let (nearest, held) = ground.nearest(state)?;
    let table = ground.next_table();
    ground.with(|session| {
        // The server is there, and may have much to copy.
        session.extend(PATIENCE);
        session.text(&sql::branch_live(table, nearest.table))?;
        change(session, table, &Delta { added: state - &*held, removed: &*held - state })
    })?;
    Ok(table)
}

/// Conditions on `vid` that together mean these numbers.
pub fn parts(vids: &RoaringBitmap) -> Vec<String> {
    parts_of("vid", vids)
}

/// Conditions on a column that together mean these numbers: ranges where they stand together, else lists.
pub fn parts_of(column: &str, numbers: &RoaringBitmap) -> Vec<String> {
    let mut ranges = numbers.iter();
    let runs: Vec<_> = std::iter::from_fn(|| ranges.next_range()).take(NUMBERS_MAX / 20).collect();
    if runs.len() < NUMBERS_MAX / 20 {
        let range = |run: &std::ops::RangeInclusive<u32>| format!("{column} between {} and {}", run.start(), run.end());
        return runs
            .iter()
            .map(range)
            .collect::<Vec<_>>()
            .chunks(NUMBERS_MAX / 20)
            .map(|some| some.join(" or "))
            .collect();
    }
    let all: Vec<u32> = numbers.iter().collect();
    all.chunks(NUMBERS_MAX).map(|some| format!("{column} in ({})", sql::numbers(some.iter().copied()))).collect()
}
