//! A commit: who changed what, when, by which operation. It never changes; its id is its hash (`canon.rs`).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::{CommitId, OpId, SessionId, VersionId};
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
    pub at: Time,
    pub op: OpId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// `None` for what a person typed.
    pub agent: Option<String>,
    pub agent_version: Option<String>,
    pub session: SessionId,
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
}

impl Verb {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Store => "store",
            Self::Correct => "correct",
            Self::Purge => "purge",
        }
    }

    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Init),
            1 => Some(Self::Store),
            2 => Some(Self::Correct),
            3 => Some(Self::Purge),
            _ => None,
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
