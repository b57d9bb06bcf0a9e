//! Names of branches and snapshots, and the ways to say a revision.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
    /// The head of a branch, now.
    Branch(Name),
    /// A commit by its id or a unique prefix of at least 8 hex digits.
    Commit(String),
    /// Where a branch stood at that moment, by the history of names.
    At(Name, Time),
}
