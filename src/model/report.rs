//! What the engine, the guard and the ranking report about themselves, in numbers and sentences.

use serde::{Deserialize, Serialize};

use super::id::CommitId;
use super::memory::Kind;

/// A secret that was replaced before anything else saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masked {
    /// What it looked like, for example "AWS access key".
    pub what: String,
    pub count: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// A sentence that holds when there are no problems.
    pub promise: String,
    /// How many things were looked at.
    pub checked: u64,
    /// At most 20, then a count of the rest.
    pub problems: Vec<String>,
}

/// `error` is set when the store could not be opened; the numbers are then 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    pub error: Option<String>,
    pub memories: u32,
    pub by_kind: Vec<(Kind, u32)>,
    pub branches: u32,
    pub commits: u32,
    pub versions: u32,
    pub truth_bytes: u64,
    pub derived_bytes: u64,
    pub head: Option<CommitId>,
    /// Versions whose words are in memory only, to be flushed.
    pub unflushed: u32,
}

/// How a score came about: `(lexical + neighbours) · trust · age · place`, at most 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// The share that the memory's own words answer.
    pub lexical: f32,
    /// What the memories around it in its session add.
    pub neighbours: f32,
    pub trust: f32,
    pub age: f32,
    /// The asking project's, or the asking session's.
    pub place: f32,
    /// The question's terms that it contains, with the share that each contributed.
    pub terms: Vec<(String, f32)>,
}
