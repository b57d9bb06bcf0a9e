//! Questions to an engine and what it finds: filters, pages, and candidates that `search/` scores.

use serde::{Deserialize, Serialize};

use super::feedback::Feedback;
use super::id::{MemoryId, ProjectId, SessionId, SubjectId};
use super::memory::{Kind, Trust, Version};
use super::time::Time;
use super::vector::{Cosines, Space};

/// Which memories are wanted. Empty lists and `None` mean "any".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    pub kinds: Vec<Kind>,
    /// Every one of these tags; [`PINNED`](super::memory::PINNED) among them wants what is pinned.
    pub tags: Vec<String>,
    pub scope: Scope,
    /// Written in this session.
    pub session: Option<SessionId>,
    pub subject: Option<SubjectId>,
    /// By the agent's name in the origin.
    pub agent: Option<String>,
    pub trust: Option<Trust>,
    /// Observed at or after, and before.
    pub since: Option<Time>,
    pub until: Option<Time>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Every project and the global ones.
    #[default]
    All,
    /// Only memories that belong to no project.
    Global,
    /// This project's memories and the global ones.
    Project(ProjectId),
}

/// Which part of a history is wanted; `None` means any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitFilter {
    /// Only commits that changed this memory.
    pub memory: Option<MemoryId>,
    /// By the agent's name; what a person typed has none, and is "you" here.
    pub agent: Option<String>,
    pub session: Option<SessionId>,
    /// Where the writer worked.
    pub project: Option<ProjectId>,
    /// Made at or after, and before.
    pub since: Option<Time>,
    pub until: Option<Time>,
}

/// Which commits a history follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Walk {
    /// First parents: what happened on this branch.
    #[default]
    Branch,
    /// Every parent: what was merged in as well, newest first.
    All,
}

/// Part of a listing. `limit` 0 is all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub offset: u32,
    pub limit: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Newest first (`observed_at`, then id).
    pub memories: Vec<Version>,
    /// How many match, whatever the page.
    pub total: u32,
}

/// A stretch of a state in the order in which its versions were written, for reading all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    pub versions: Vec<Version>,
    /// Where the next stretch begins; `None` at the end.
    pub next: Option<u64>,
    /// How many match, whatever the stretch; counted for the first one, 0 after it.
    pub total: u32,
}

/// A question in terms (the analysed words of a text with the weight that each has in it) and, where there is one, in
/// a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub terms: Vec<Term>,
    pub vector: Option<Asked>,
    pub filter: Filter,
    /// How many candidates to bring by BM25 (`kernel/src/bm25.rs`), and how many by cosine: the best of each, together.
    pub limit: usize,
    /// How many neighbours of a candidate in its session to bring on either side; 0 for none. Those of the very best
    /// are candidates themselves.
    pub around: u8,
}

/// A question's vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub space: Space,
    /// Of unit length, `space.dims` numbers.
    pub vector: Vec<f32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    pub text: String,
    /// 1 for a plain word; less for what a question merely carries along.
    pub weight: f32,
}

/// Everything that ranking needs, from one state, in one round trip. Statistics are those of the whole
/// state, whatever the filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    /// Live memories in the state.
    pub live: u32,
    /// Sum of their lengths in terms.
    pub tokens: u64,
    /// In how many live memories each term of the query occurs, in the query's order.
    pub document_frequencies: Vec<u32>,
    /// Of the whole state, where a vector was asked for.
    pub cosines: Option<Cosines>,
    pub found: Vec<Candidate>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub version: Version,
    pub words: Match,
    /// What was said of it, where that counts. Engines leave it out: it belongs to no state.
    pub feedback: Feedback,
    /// Its vector in the query's space, in the engine's eight bits; empty where it has none. Only directions count:
    /// they tell how alike two candidates are.
    pub vector: Vec<i8>,
    /// Those written just before and after it in the same session, with the distance in positions.
    pub around: Vec<(i8, Match)>,
}

/// How a memory meets the query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Match {
    /// Length of the memory in terms.
    pub len: u32,
    /// Occurrences of each term of the query, in the query's order.
    pub frequencies: Vec<u16>,
    /// Of its vector with the query's; `None` where either has none (yet), or no opinion.
    pub cosine: Option<f32>,
}
