//! What is asked of memories and answered: store, retrieve, list, show, correct, purge, the log, import and export.
//! Fields are in their order on the wire: only append.

use serde::{Deserialize, Serialize};

use super::Marks;
use crate::model::{
    Author, CommitId, Confidence, Feedback, Filter, Kind, Masked, Memory, MemoryId, Moment, Name, Page, Parts,
    ProjectId, Ref, Relation, SessionId, Source, SubjectId, Time, Trust, VersionId, Walk,
};

/// Which project a request means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// The caller's; for a `profile` memory, global.
    #[default]
    Here,
    Global,
    /// `*`: reads see every project. A write cannot be everywhere.
    Everywhere,
    Named(ProjectId),
}

/// What a read looks at: a branch (the session's where `None`), now or at a revision. A time is resolved through the
/// branch's history; any other revision speaks for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    pub branch: Option<Name>,
    /// As typed: a branch, a snapshot, a commit id or its prefix, a time, or `NAME@TIME`.
    pub at: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Store {
    /// The session's where `None`.
    pub branch: Option<Name>,
    pub text: String,
    pub kind: Option<Kind>,
    pub tags: Vec<String>,
    /// Default: T1 for a person, T3 for an agent, T4 for tools, files and imports.
    pub trust: Option<Trust>,
    pub place: Place,
    /// Default: the caller's session.
    pub session: Option<SessionId>,
    pub subject: Option<SubjectId>,
    /// The text of a JSON object, or empty.
    pub metadata: String,
    pub observed_at: Option<Time>,
    /// Default: by the kind of client.
    pub source: Option<Source>,
    /// Default: never; a week for a `working` memory that is not pinned.
    pub expires_at: Option<Time>,
    /// It does not age, and comes before others of its likes.
    pub is_pinned: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Retrieve {
    pub view: View,
    pub question: String,
    /// At most this many; fewer when fewer are relevant. 0 is the default of 5.
    pub top_k: u32,
    /// Budget for the texts, in tokens of about four bytes; 0 is none.
    pub max_tokens: u32,
    pub place: Place,
    /// `scope` in here is set by the service, from `place`.
    pub filter: Filter,
    /// Prefer or require memories of `filter.session`.
    pub session_scope: SessionScope,
    pub explain: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionScope {
    #[default]
    Prefer,
    Only,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct List {
    pub view: View,
    pub place: Place,
    pub filter: Filter,
    pub page: Page,
}

/// By a whole id or a unique prefix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Show {
    pub view: View,
    pub id: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Correct {
    /// The session's where `None`.
    pub branch: Option<Name>,
    pub target: Target,
    pub text: String,
    pub reason: Option<String>,
    /// Default: T1 for a person, else what the memory had, but at least T3.
    pub trust: Option<Trust>,
    /// `None` keeps what the memory had.
    pub tags: Option<Vec<String>>,
    pub marks: Marks,
}

/// Which memory is meant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Target {
    Id(String),
    /// The one that this question finds; refused when it finds none, or two that are about as good.
    Question {
        question: String,
        place: Place,
        filter: Filter,
        session_scope: SessionScope,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Purge {
    /// The session's where `None`. An erasure is on every branch.
    pub branch: Option<Name>,
    pub target: PurgeTarget,
    pub depth: Depth,
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Depth {
    /// Out of the branch; history keeps it.
    #[default]
    State,
    /// Out of every version, index, cache and file; history keeps that there was something.
    Bytes,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PurgeTarget {
    /// Whole ids or unique prefixes.
    Ids(Vec<String>),
    /// Memories that contain every word of the topic (as `lexical/` sees words).
    Topic { topic: String, place: Place },
    /// What was stored in a session, of these kinds (all when empty).
    Session { session: SessionId, kinds: Vec<Kind> },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Log {
    pub view: View,
    pub walk: Walk,
    pub project: Option<ProjectId>,
    /// Only commits that touched this memory (id or prefix).
    pub memory: Option<String>,
    pub agent: Option<String>,
    pub session: Option<SessionId>,
    pub since: Option<Time>,
    pub until: Option<Time>,
    pub page: Page,
}

/// One batch of memories, one commit. The op is made of the file and the batch's number, so that a file that is
/// imported again after an interruption goes on where it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Import {
    /// The session's where `None`.
    pub branch: Option<Name>,
    /// Named as the origin's agent where a row names none.
    pub agent: Option<String>,
    /// Of rows that name no project.
    pub place: Place,
    pub file: String,
    pub rows: Vec<Row>,
    pub tiers: Tiers,
}

/// How far a file is believed when it says how far its memories may be relied on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tiers {
    /// As far as whatever is brought in: T3 at most, not pinned, and praised little.
    #[default]
    Lowered,
    /// A person said that the file is theirs: its tiers, pins and feedback are taken as they are.
    Kept,
}

/// One line of the plain format.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its number in the file, from 1.
    pub line: u32,
    pub text: String,
    pub kind: Option<Kind>,
    pub tags: Vec<String>,
    pub trust: Option<Trust>,
    pub confidence: Option<Confidence>,
    /// `global`, or a project's name.
    pub project: Option<String>,
    pub session: Option<SessionId>,
    pub subject: Option<SubjectId>,
    pub source: Option<Source>,
    pub agent: Option<String>,
    pub agent_version: Option<String>,
    pub tool: Option<String>,
    pub file: Option<String>,
    pub created_at: Option<Time>,
    pub observed_at: Option<Time>,
    pub expires_at: Option<Time>,
    pub is_pinned: bool,
    pub metadata: String,
    /// Where the memory is known by an id already, or is to be; a new one where `None`.
    pub id: Option<MemoryId>,
    pub step: RowStep,
    /// What was said of it where it comes from.
    pub feedback: Feedback,
}

/// What a row does to the memory that it names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowStep {
    #[default]
    Store,
    /// It says this from now on.
    Replace,
    /// It goes, and its history stays. Only the id counts.
    Remove,
}

/// Part of a state, for a file: its beginning, then what the last answer left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Export {
    pub view: View,
    pub place: Place,
    pub filter: Filter,
    pub rest: Option<Rest>,
}

/// What is left of an export: of the state that it began with, judged as when it began, whatever happened since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    pub commit: CommitId,
    pub moment: Moment,
    pub start: u64,
}

/// A memory as it is shown: with the length of its shortest unique prefix, at least 8.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shaped {
    pub memory: Memory,
    pub version: VersionId,
    pub short_len: u8,
    /// Signs of an attempt to instruct or to hide (`guard/`); empty for most.
    pub flags: Vec<String>,
    /// What is left of its confidence at the moment that was asked about ([`Memory::confidence_at`]).
    pub confidence: Confidence,
    /// What was said of it; nothing at a past state.
    pub feedback: Feedback,
}

impl Shaped {
    /// What people and agents see and may type back.
    pub fn short_id(&self) -> String {
        let mut id = self.memory.id.to_string();
        id.truncate(usize::from(self.short_len));
        id
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    pub branch: Name,
    pub stored: Shaped,
    /// Equal text was there already: `stored` is that memory, and nothing was written.
    pub is_duplicate: bool,
    pub similar: Vec<Similar>,
    pub masked: Vec<Masked>,
    pub commit: Option<CommitId>,
    /// Its place in the row of those that wait on this machine for the server: nothing else is known of it yet, not
    /// its version, nor what is similar, nor whether equal text is there.
    pub waits: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Similar {
    pub memory: Shaped,
    /// Share of words in common, 0 to 100.
    pub percent: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retrieved {
    pub point: Point,
    pub hits: Vec<Hit>,
    /// Relevant hits that `top_k` or `max_tokens` kept out.
    pub left_out: u32,
    /// No vectors took part.
    pub lexical_only: bool,
    /// Why not, where they should have.
    pub notice: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    pub memory: Shaped,
    /// 0 to 1: share of the question that the memory answers, priors included.
    pub score: f32,
    pub parts: Option<Parts>,
    /// The text is the beginning of the memory's, cut at a sentence to keep within `max_tokens`.
    pub is_shortened: bool,
    /// Memories that say nearly the same, and are not in the answer.
    pub twins: Vec<MemoryId>,
    /// Memories that say otherwise, each with how it stands to this one; their texts may be cut.
    pub beside: Vec<Beside>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    pub memory: Shaped,
    pub relation: Relation,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    pub point: Point,
    /// As many of the page as fit an answer (`limits::RESULTS_MAX`); the next page starts after them.
    pub memories: Vec<Shaped>,
    /// How many match, whatever the page.
    pub total: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    pub memory: Shaped,
    pub is_live: bool,
    /// Every state that it ever had, newest first, with the commit that brought it; as many as fit an answer.
    pub history: Vec<Past>,
    pub history_total: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Past {
    pub commit: LogEntry,
    /// What the commit made of the memory; `None` when it removed it.
    pub text: Option<String>,
    pub trust: Option<Trust>,
    pub confidence: Option<Confidence>,
    /// What it said before, on the branch that the commit was made on; `None` where it was not there.
    pub before: Option<String>,
    /// As [`Shaped::flags`], of the memory as the commit made it, and as it was before.
    pub flags: Vec<String>,
    pub before_flags: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Corrected {
    pub branch: Name,
    pub memory: Shaped,
    pub before: String,
    pub is_unchanged: bool,
    pub masked: Vec<Masked>,
    pub commit: Option<CommitId>,
    /// As [`Shaped::flags`], of what it was before.
    pub before_flags: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Purged {
    pub branch: Name,
    /// The branch as it was before, to go back to.
    pub safety: Option<Name>,
    /// Versions whose bytes are gone; of an erasure, `removed` is empty, since nothing of it can be shown.
    pub erased_versions: u32,
    pub erased_memories: u32,
    /// Those that were there and are gone, the first 200 of them; their history stays.
    pub removed: Vec<Shaped>,
    pub removed_total: u32,
    /// What was asked for and was not there.
    pub missing: Vec<String>,
    pub commit: Option<CommitId>,
    pub masked: Vec<Masked>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    pub point: Point,
    /// Newest first.
    pub commits: Vec<LogEntry>,
    pub total: u32,
    /// The names that stand at one of these commits.
    pub names: Vec<Ref>,
    /// Those whose description has flags, with them (as [`Shaped::flags`]).
    pub flagged: Vec<(Name, Vec<String>)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    pub commit: CommitId,
    pub parents: Vec<CommitId>,
    pub author: Author,
    pub verb: String,
    pub note: Option<String>,
    /// The commits that it speaks of: taken back, picked, rolled back to.
    pub about: Vec<CommitId>,
    pub at: Time,
    pub added: u32,
    pub removed: u32,
    /// Up to three of the memories that it touched, with the start of their texts.
    pub touched: Vec<(MemoryId, String)>,
    /// As [`Shaped::flags`], of the note and of the whole memories of `touched`.
    pub flags: Vec<String>,
}

/// A state that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    pub commit: CommitId,
    /// The branch or the snapshot, where one was named or meant.
    pub name: Option<Name>,
    /// When the commit was made; of a branch's head, now.
    pub at: Time,
    pub live: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    pub branch: Name,
    pub stored: u32,
    /// Equal text was there already.
    pub existing: u32,
    pub masked: Vec<Masked>,
    /// Lines that were not taken, and why.
    pub refused: Vec<(u32, String)>,
    pub commit: Option<CommitId>,
    /// This batch had been imported before.
    pub is_replay: bool,
    /// Memories that say something else now, or are gone.
    pub changed: u32,
    /// Rows that claimed more than a file can vouch for ([`Tiers::Lowered`]).
    pub lowered: u32,
    /// Memories that have flags (as [`Shaped::flags`]), of those that were taken.
    pub flagged: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exported {
    pub point: Point,
    pub memories: Vec<Memory>,
    /// How many there are, all parts together; in the first part only.
    pub total: u32,
    pub rest: Option<Rest>,
    /// Those of `memories`, by their place in it, that have flags (as [`Shaped::flags`]).
    pub flagged: Vec<(u32, Vec<String>)>,
    /// Those, likewise, of which something was said; none of a past state.
    pub rated: Vec<(u32, Feedback)>,
}
