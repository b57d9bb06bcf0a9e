//! What a plan comes to on a head: reset, merge, graft and invert, worked out on sets of versions. It only reads;
//! whether the head is still the head when the result is applied is the writer's to see.

use super::store::Store;
use super::tables::Delta;
use crate::engine::At;
use crate::error::{Error, Result};
use crate::model::{CommitId, Memory, Page, Plan, Planned};

/// A plan, worked out. With `planned.conflicts` it may not be applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Worked {
    /// It holds for this head and no other.
    pub head: CommitId,
    /// Versions that exist, by local number: what leaves the state and what enters it.
    pub delta: Delta,
    /// Versions to be made. The live version of the same memory, if there is one, is in `delta.removed`.
    pub fresh: Vec<Memory>,
    /// Of a merge: a commit is to be made even where nothing else changes, so that it is not merged twice.
    pub second_parent: Option<u32>,
    pub about: Vec<CommitId>,
    pub planned: Planned,
}

impl Worked {
    /// Whether no commit comes of it.
    pub fn is_empty(&self) -> bool {
        self.delta.len() == 0 && self.fresh.is_empty() && self.second_parent.is_none()
    }
}

impl Store {
    /// Blocks. `page` is of the differences.
    pub(super) fn work_out(&self, at: &At, plan: &Plan, page: Page) -> Result<Worked> {
        let _ = (at, plan, page);
        Err(Error::internal("plans are not worked out yet"))
    }
}
