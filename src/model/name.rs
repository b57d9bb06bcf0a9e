//! Names of branches and snapshots, and the ways to say a revision.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::CommitId;
use super::time::Time;
use crate::error::{Error, Result};

/// `[a-z0-9][a-z0-9._/-]{0,63}`, without `..` or a trailing `/`: validated or refused, never rewritten.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name(String);

impl Name {
    pub const MAX_BYTES: usize = 64;

    pub fn main() -> Self {
        Self("main".to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let first_fits = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let rest_fits = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._/-".contains(&b));
        if first_fits && rest_fits && text.len() <= Self::MAX_BYTES && !text.contains("..") && !text.ends_with('/') {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::invalid(format!(
            "`{}` cannot be a name: use 1 to 64 of a-z, 0-9, `.`, `_`, `/` and `-`, starting with a letter or a digit",
            text.chars().take(80).collect::<String>()
        )))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a read is asked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Revision {
    /// The head of a branch, now; or where a snapshot stands.
    Name(Name),
    /// A commit by its id or a unique prefix of at least 8 hex digits.
    Commit(String),
    /// Where a branch stood at that moment, by the history of names.
    At(Name, Time),
}

/// A name, where it stands, and what is known of it. Branches and snapshots share one set of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ref {
    pub name: Name,
    pub kind: NameKind,
    pub commit: CommitId,
    /// Live memories there.
    pub live: u32,
    pub note: Option<String>,
    pub protection: Protection,
    pub created_at: Time,
    /// When the name last moved, or went.
    pub moved_at: Time,
    /// Deleted, and not yet forgotten by compaction.
    pub is_deleted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameKind {
    /// Moves with every commit on it.
    Branch,
    /// Never moves.
    Snapshot,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protection {
    #[default]
    Open,
    /// Takes merges, and what takes back (revert, rollback, undo, redo, erase); nothing else.
    MergesOnly,
}

/// What becomes of one name. Of several in one write, each sees what those before it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameChange {
    /// `Conflict` where the name is taken.
    Create {
        name: Name,
        kind: NameKind,
        commit: CommitId,
        note: Option<String>,
    },
    /// Its history goes with it. `Conflict` where `new` is taken; `main` stays.
    Rename {
        name: Name,
        new: Name,
    },
    /// `NotFound` where there is no such name; `main` and what is protected stay (`Denied`).
    Delete {
        name: Name,
    },
    /// Deleted if it is there: what is kept for a while only, and may be gone already.
    Expire {
        name: Name,
    },
    /// A deleted name stands again where it last stood.
    Restore {
        name: Name,
    },
    Protect {
        name: Name,
        protection: Protection,
    },
}
