//! What a first answer said beyond the engine's outcomes, kept with the operation so that the second answer
//! says the same: what was masked, what is similar, what was missing.

use crate::error::Result;
use crate::model::canon::{Reader, Writer};
use crate::model::{CommitId, Masked, VersionId};

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
}

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
        out.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader(bytes);
        let mut memo = Self::default();
        for _ in 0..from.u32()? {
            memo.masked.push(Masked { what: from.text()?, count: from.u32()? });
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
            masked: vec![Masked { what: "JWT".into(), count: 2 }],
            similar: vec![(VersionId([3; 32]), 71)],
            missing: vec!["deadbeef".into()],
            branch: "main".into(),
            points: vec![CommitId([4; 32])],
            refused: vec![(7, "it is empty".into())],
        };
        assert_eq!(Memo::decode(&memo.encode()).unwrap(), memo);
        assert_eq!(Memo::decode(&Memo::default().encode()).unwrap(), Memo::default());
    }
}
