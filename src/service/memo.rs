//! What a first answer said beyond the engine's outcomes, kept with the operation so that the second answer
//! says the same: what was masked, what is similar, what was missing.

use crate::error::Result;
use crate::model::canon::{Reader, Writer};
use crate::model::{CommitId, Masked, Spot, VersionId};

/// Stored beside an operation's outcomes, opaque to the engine.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Memo {
    pub masked: Vec<Masked>,
    /// Similar memories as they were, with the percentage of common words.
    pub similar: Vec<(VersionId, u8)>,
    pub missing: Vec<String>,
    /// The branch that was meant.
    pub branch: String,
    /// The commits that names and times stood for.
    pub points: Vec<CommitId>,
    /// Lines of an import that were not taken, and why.
    pub refused: Vec<(u32, String)>,
    /// Rows of an import that claimed more than a file can vouch for, and those that have flags.
    pub lowered: u32,
    pub flagged: u32,
}

// What one release writes the next one reads: what was added since the first stands at the end, and may be missing.

impl Memo {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u32(self.masked.len() as u32);
        for masked in &self.masked {
            out.text(&masked.what).u32(masked.count);
        }
        out.u32(self.similar.len() as u32);
        for (version, percent) in &self.similar {
            out.fixed(&version.0).u8(*percent);
        }
        out.u32(self.missing.len() as u32);
        for missing in &self.missing {
            out.text(missing);
        }
        out.text(&self.branch).u32(self.points.len() as u32);
        for point in &self.points {
            out.fixed(&point.0);
        }
        out.u32(self.refused.len() as u32);
        for (line, why) in &self.refused {
            out.u32(*line).text(why);
        }
        for masked in &self.masked {
            out.u32(masked.spots.len() as u32);
            for Spot { field, line, column } in &masked.spots {
                out.text(field).u32(*line).u32(*column);
            }
        }
        out.u32(self.lowered).u32(self.flagged);
        out.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader(bytes);
        let mut memo = Self::default();
        for _ in 0..from.u32()? {
            memo.masked.push(Masked { what: from.text()?, count: from.u32()?, spots: Vec::new() });
        }
        for _ in 0..from.u32()? {
            memo.similar.push((VersionId(from.array()?), from.u8()?));
        }
        for _ in 0..from.u32()? {
            memo.missing.push(from.text()?);
        }
        memo.branch = from.text()?;
        for _ in 0..from.u32()? {
            memo.points.push(CommitId(from.array()?));
        }
        for _ in 0..from.u32()? {
            memo.refused.push((from.u32()?, from.text()?));
        }
        if from.0.is_empty() {
            return Ok(memo);
        }
        for masked in &mut memo.masked {
            for _ in 0..from.u32()? {
                masked.spots.push(Spot { field: from.text()?, line: from.u32()?, column: from.u32()? });
            }
        }
        (memo.lowered, memo.flagged) = (from.u32()?, from.u32()?);
        from.end()?;
        Ok(memo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_reads_back_as_it_was_written() {
        let memo = Memo {
            masked: vec![Masked {
                what: "JWT".into(),
                count: 2,
                spots: vec![Spot { field: "tags".into(), line: 1, column: 9 }],
            }],
            similar: vec![(VersionId([3; 32]), 71)],
            missing: vec!["deadbeef".into()],
            branch: "main".into(),
            points: vec![CommitId([4; 32])],
            refused: vec![(7, "it is empty".into())],
            lowered: 3,
            flagged: 1,
        };
        assert_eq!(Memo::decode(&memo.encode()).unwrap(), memo);
        assert_eq!(Memo::decode(&Memo::default().encode()).unwrap(), Memo::default());
    }

    #[test]
    fn a_memo_without_places_of_an_earlier_release_is_read() {
        let memo = Memo { masked: vec![Masked { what: "JWT".into(), count: 2, spots: vec![] }], ..Memo::default() };
        let bytes = memo.encode();
        // The length of the empty list of places, and two numbers.
        assert_eq!(Memo::decode(&bytes[..bytes.len() - 12]).unwrap(), memo);
    }
}
