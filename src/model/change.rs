//! What a caller asks an engine to write, and what the engine says it did.

use serde::{Deserialize, Serialize};

use super::commit::{Author, Verb};
use super::id::{CommitId, MemoryId, OpId, VersionId};
use super::memory::Memory;
use super::name::Name;
use super::time::Time;

/// One transaction and one commit: all of its changes or none of them. A write that changes nothing
/// (everything equal, everything missing) makes no commit, and is still remembered by its operation id.
#[derive(Clone, Debug)]
pub struct Write {
    pub branch: Name,
    pub author: Author,
    pub verb: Verb,
    pub note: Option<String>,
    pub at: Time,
    pub changes: Vec<Change>,
    /// Opaque to the engine: stored with the reply and given back when the operation comes again, so that
    /// the second answer says what the first one said (what was masked, what is similar).
    pub memo: Vec<u8>,
    /// Operations whose replies have arrived: their stored replies can go.
    pub acknowledged: Vec<OpId>,
}

#[derive(Clone, Debug)]
pub enum Change {
    /// A new memory; where the same state holds one of equal text, project, kind and subject, that one stands.
    Store(Memory),
    /// A new version of an existing memory.
    Replace { memory: Memory, expect: Expect },
    /// The memory leaves the state; its history stays.
    Remove { id: MemoryId, expect: Expect },
}

/// A precondition on one memory, judged on the head of the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Whatever version is live; a memory that is not live is reported as [`Outcome::Missing`].
    Live,
    /// That version is the live one, else the whole write fails with `Conflict`.
    Version(VersionId),
}

/// What came of one change, in the order of the changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Stored {
        id: MemoryId,
        version: VersionId,
    },
    /// Equal text was there already: nothing was written for this change.
    Existing {
        id: MemoryId,
        version: VersionId,
    },
    Replaced {
        id: MemoryId,
        before: VersionId,
        after: VersionId,
    },
    /// The new version equals the live one: nothing was written for this change.
    Unchanged {
        id: MemoryId,
        version: VersionId,
    },
    Removed {
        id: MemoryId,
        version: VersionId,
    },
    Missing {
        id: MemoryId,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// `None` when nothing changed.
    pub commit: Option<CommitId>,
    pub outcomes: Vec<Outcome>,
    pub memo: Vec<u8>,
    /// The operation had been applied before: these are the first results.
    pub is_replay: bool,
}
