//! What the engine, the guard and the ranking report about themselves, in numbers and sentences.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::{CommitId, MemoryId};
use super::memory::Kind;
use super::name::Name;
use super::time::Time;

/// A secret that was replaced before anything else saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masked {
    /// What it looked like, for example "AWS access key".
    pub what: String,
    pub count: u32,
    /// Where the placeholders stand, the first [`Masked::SPOTS_MAX`] of `count`.
    pub spots: Vec<Spot>,
}

/// The place of a placeholder (`[masked: …]`) in what is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spot {
    /// As the request names it: `text`, `tags`, `metadata`, `reason`; of an import, with the line of the file.
    pub field: String,
    /// Of the masked text of this field, from 1.
    pub line: u32,
    /// Of that line, in characters, from 1.
    pub column: u32,
}

impl Masked {
    pub const SPOTS_MAX: usize = 20;

    /// Adds what was found elsewhere to a list, each kind of secret once.
    pub fn gather(list: &mut Vec<Self>, found: Self) {
        match list.iter_mut().find(|known| known.what == found.what) {
            Some(known) => {
                known.count += found.count;
                let room = Self::SPOTS_MAX.saturating_sub(known.spots.len());
                known.spots.extend(found.spots.into_iter().take(room));
            }
            None => list.push(found),
        }
    }

    /// `GitHub token (3): text 1:8, tags 1:1 and 1 more`, with the lines and columns of the placeholders.
    pub fn sentence(&self) -> String {
        let spots: Vec<String> = self.spots.iter().map(Spot::to_string).collect();
        let more = match (self.count as usize).saturating_sub(spots.len()) {
            0 => String::new(),
            _ if spots.is_empty() => String::new(),
            more => format!(" and {more} more"),
        };
        let at = if spots.is_empty() { String::new() } else { format!(": {}{more}", spots.join(", ")) };
        format!("{} ({}){at}", self.what, self.count)
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{}", self.field, self.line, self.column)
    }
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

/// What an erasure came to. The bytes of every version are gone from every file; hashes and times stay in history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    pub memories: u32,
    pub versions: u32,
    /// One for each branch on which one of them was live.
    pub commits: Vec<(Name, CommitId)>,
    /// What was asked for and is not there, or was erased before.
    pub missing: Vec<MemoryId>,
    pub is_replay: bool,
}

/// What a compaction came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compacted {
    /// Versions and commits that no name reaches any more, names and marks of old operations: gone.
    pub versions: u32,
    pub commits: u32,
    pub names: u32,
    pub marks: u32,
    pub bytes_before: u64,
    pub bytes_after: u64,
}

/// `error` is set when the store could not be opened; the numbers are then 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    pub error: Option<String>,
    pub memories: u32,
    pub by_kind: Vec<(Kind, u32)>,
    pub branches: u32,
    pub snapshots: u32,
    pub commits: u32,
    pub versions: u32,
    pub truth_bytes: u64,
    pub derived_bytes: u64,
    pub head: Option<CommitId>,
    /// Versions that no name reaches, those within the grace period included.
    pub unreachable: u32,
    /// Versions whose words are in memory only, to be flushed.
    pub unflushed: u32,
    /// Of an engine whose writes may wait on this machine (`matrixone.offline_queue`).
    pub waiting: Option<Waiting>,
}

/// What waits on this machine for a server that is away, and what the server would not take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Memories that wait.
    pub count: u32,
    /// When the first of them was written.
    pub since: Option<Time>,
    /// When sending is tried again by itself.
    pub retry_at: Option<Time>,
    /// What came in the way last.
    pub problem: Option<String>,
    /// The file as it was when damage was found in it.
    pub damaged: Option<String>,
    /// Memories that the server refused for good.
    pub refused: u32,
    /// Why, of the last one.
    pub refused_why: Option<String>,
    /// Where they are kept.
    pub refused_file: String,
}

/// A score: at most 1, `sqrt(lexical² + vector² + neighbours² + link²) · trust · age · place · feedback`.
/// The one memory that has all the words of the question is put ahead of others, whatever stands around those.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// The share of the question that the memory's own words answer, 0 to 1.
    pub lexical: f32,
    /// How far its vector stands out among those of the state, 0 to 1; 0 without vectors.
    pub vector: f32,
    /// What the memories around it in its session add.
    pub neighbours: f32,
    /// What a name that it shares with a better hit adds.
    pub link: f32,
    pub trust: f32,
    pub age: f32,
    /// The asking project's, or the asking session's.
    pub place: f32,
    /// The question's terms that it contains, with the share that each contributed.
    pub terms: Vec<(String, f32)>,
    /// The same in words: "shares `retry limit`; means nearly the same".
    pub reason: String,
    /// What those who used it said.
    pub feedback: f32,
}

/// How a memory that is shown beside a hit stands to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relation {
    /// It says otherwise, and is older.
    Older,
    /// It says otherwise, and is relied on less.
    LessTrusted,
}

impl Relation {
    /// As scripts and agents read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Older => "older",
            Self::LessTrusted => "less_trusted",
        }
    }
}
