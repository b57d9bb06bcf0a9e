//! A commit: who changed what, when, by which operation. It never changes; its id is its hash (`canon.rs`).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::change::Difference;
use super::id::{CommitId, OpId, ProjectId, SessionId, VersionId};
use super::time::Time;

/// `added` and `removed` name versions against the first parent, each list sorted by version id.
/// A correction removes one version of a memory and adds another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// None for the first commit, two for a merge.
    pub parents: Vec<CommitId>,
    pub added: Vec<VersionId>,
    pub removed: Vec<VersionId>,
    pub author: Author,
    pub verb: Verb,
    pub note: Option<String>,
    /// The commits that this one speaks of: taken back, done again, rolled back to, picked.
    pub about: Vec<CommitId>,
    pub at: Time,
    pub op: OpId,
}

/// A commit as histories list it: without its changes, which may be a million.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitEntry {
    pub id: CommitId,
    /// `added` and `removed` are empty.
    pub bare: Commit,
    /// Versions added and removed against the first parent.
    pub added: u32,
    pub removed: u32,
    /// Up to [`GLANCE_MAX`](Self::GLANCE_MAX) of the memories it changed; of a history of one memory, that one.
    pub glance: Vec<Difference>,
}

impl CommitEntry {
    pub const GLANCE_MAX: usize = 3;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// `None` for what a person typed.
    pub agent: Option<String>,
    pub agent_version: Option<String>,
    pub session: SessionId,
    /// Where the writer worked: what a person typed in one project is one session.
    pub project: Option<ProjectId>,
}

/// What was done. The number is part of the canonical encoding: only append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Verb {
    /// The empty commit that every store begins with.
    Init = 0,
    Store = 1,
    Correct = 2,
    Purge = 3,
    Import = 4,
    Merge = 5,
    Pick = 6,
    Apply = 7,
    Rollback = 8,
    Revert = 9,
    Undo = 10,
    Redo = 11,
    Erase = 12,
}

impl Verb {
    const ALL: [Self; 13] = [
        Self::Init,
        Self::Store,
        Self::Correct,
        Self::Purge,
        Self::Import,
        Self::Merge,
        Self::Pick,
        Self::Apply,
        Self::Rollback,
        Self::Revert,
        Self::Undo,
        Self::Redo,
        Self::Erase,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Store => "store",
            Self::Correct => "correct",
            Self::Purge => "purge",
            Self::Import => "import",
            Self::Merge => "merge",
            Self::Pick => "pick",
            Self::Apply => "apply",
            Self::Rollback => "rollback",
            Self::Revert => "revert",
            Self::Undo => "undo",
            Self::Redo => "redo",
            Self::Erase => "erase",
        }
    }

    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
