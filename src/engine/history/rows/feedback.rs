//! The row of what was said of a memory. It knows bytes only.

use crate::error::Result;
use crate::model::canon::{Reader, Writer};
use crate::model::{Feedback, Time};

/// The bytes of a row.
pub fn feedback_bytes(feedback: &Feedback) -> Vec<u8> {
    let Feedback { useful, irrelevant, outdated, wrong, useful_at, doubted_at } = *feedback;
    let mut out = Writer::default();
    out.u32(useful).u32(irrelevant).u32(outdated).u32(wrong);
    out.time(useful_at.unwrap_or(Time::MIN)).time(doubted_at.unwrap_or(Time::MIN));
    out.0
}

/// A row read.
pub fn feedback(bytes: &[u8]) -> Result<Feedback> {
    let mut from = Reader(bytes);
    let [useful, irrelevant, outdated, wrong] = [from.u32()?, from.u32()?, from.u32()?, from.u32()?];
    let time = |from: &mut Reader| from.time().map(|at| Some(at).filter(|at| *at != Time::MIN));
    let useful_at = time(&mut from)?;
    // Rows of before it was asked for end here.
    let doubted_at = if from.0.is_empty() { None } else { time(&mut from)? };
    from.end()?;
    Ok(Feedback { useful, irrelevant, outdated, wrong, useful_at, doubted_at })
}
