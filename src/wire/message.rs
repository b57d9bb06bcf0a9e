//! The messages: what a client may ask of the daemon and what it answers. Read this file to know the daemon.
//! Variants are numbered by their order on the wire: only append, and raise the minor version in `hello.rs`.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::{
    Author, Check, CommitId, Compacted, Confidence, Counts, Filter, Kind, Later, Masked, Memory, MemoryId, Merged,
    Name, OpId, OriginFilter, Page, Parts, ProjectId, Protection, Ref, Rule, SessionId, Source, StoreStatus, SubjectId,
    Time, Trust, VersionId, Walk,
};

/// One message with the number that pairs a reply with its request. Serial 0 is the daemon's own events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope<T> {
    pub serial: u32,
    pub body: T,
}

/// From a client. The first message after the Hello is `Open`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToDaemon {
    Open(Open),
    Ask(Ask),
    /// The request with this serial is no longer wanted.
    Cancel(u32),
    /// These operations' replies have arrived where they were meant to: forget them.
    Acknowledge(Vec<OpId>),
}

/// From the daemon. A reply larger than a frame continues over several (`frame.rs` joins them).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToClient {
    Opened(Opened),
    Done(Box<Response>),
    Failed(Error),
    /// A JSON-RPC line that answers no request: a notification, or the server's own request.
    Line(Vec<u8>),
}

/// Who is calling, said once per connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    pub client: ClientKind,
    /// Made once by the client process; survives reconnecting, names the session and its operations.
    pub nonce: [u8; 16],
    /// From the client's working directory; `None` at home.
    pub project: Option<ProjectId>,
    pub cwd: String,
    pub pid: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientKind {
    /// `memoria mcp`: one agent.
    Shim,
    /// A command that a person or a script typed.
    Cli,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    pub session: SessionId,
    pub version: String,
    pub pid: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// Under which id the request is applied at most once: nonce of `Open`, number of the line or call.
    pub op: OpId,
    /// How many times it has been sent, this time included.
    pub attempt: u8,
    /// Sent to restore a session after a reconnect: the answer was given before, and is not for the agent.
    pub is_replay: bool,
    pub request: Request,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// One line of JSON-RPC from an agent, without its newline.
    Mcp(Vec<u8>),
    Store(Store),
    Retrieve(Retrieve),
    List(List),
    Show(Show),
    Correct(Correct),
    Purge(Purge),
    Log(Log),
    Verify,
    Status,
    /// Drain and exit. The reply comes before the drain.
    Stop(StopReason),
    Branch(Branch),
    Checkout(Checkout),
    Snapshot(Snapshot),
    Diff(Diff),
    Merge(Merge),
    Resolve(Resolve),
    Pick(Pick),
    Apply(Apply),
    Rollback(Rollback),
    Revert(Revert),
    Undo(Undo),
    Blame(Blame),
    Import(Import),
    Export(Export),
    Upkeep(Upkeep),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// A person asked for it.
    Stop,
    /// A newer client, or the service, wants to start its own daemon.
    HandOver,
}

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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Branch {
    List {
        names: WhichNames,
    },
    Create {
        name: Name,
        /// As in [`View::at`]; the session's branch where `None`.
        from: Option<String>,
        note: Option<String>,
    },
    Rename {
        name: Name,
        new: Name,
    },
    Delete {
        name: Name,
    },
    Restore {
        name: Name,
    },
    Protect {
        name: Name,
        protection: Protection,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhichNames {
    #[default]
    Living,
    /// And deleted ones that can be restored.
    All,
}

/// The session goes to a branch, and with it whoever begins to work in its project later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    pub name: Name,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Snapshot {
    /// With what changed since on the view's branch.
    List {
        branch: Option<Name>,
        page: Page,
    },
    Create {
        name: Name,
        at: View,
        note: Option<String>,
    },
    /// What cannot be found is an error only among `Names`.
    Delete(Doomed),
    /// A deleted one stands again.
    Restore {
        name: Name,
    },
}

/// Which snapshots go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Doomed {
    Names(Vec<Name>),
    Prefix(String),
    /// Made before.
    Older(Time),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// As in [`View::at`]; the session's branch where `None`, as it is now.
    pub from: Option<String>,
    /// The session's branch where `None`.
    pub to: Option<String>,
    /// The branch that times mean; the session's where `None`.
    pub branch: Option<Name>,
    pub place: Place,
    pub filter: Filter,
    pub page: Page,
    pub alike: Lookalikes,
}

/// Whether near-duplicates between the two sides are looked for: a search for each added memory of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lookalikes {
    #[default]
    Find,
    Skip,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    #[default]
    Do,
    /// Say what would be done.
    DryRun,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merge {
    /// As in [`View::at`].
    pub source: String,
    /// The session's where `None`.
    pub into: Option<Name>,
    pub rule: Rule,
    pub note: Option<String>,
    pub mode: Mode,
    pub page: Page,
}

/// What to do about the merge in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolve {
    /// The branch that is merged into; the session's where `None`.
    pub into: Option<Name>,
    pub what: Settle,
    pub page: Page,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settle {
    /// Lists what is open and what is settled.
    Look,
    /// These conflicts (ids or prefixes; every open one where empty) by taking one side.
    Take { ids: Vec<String>, side: Side },
    /// This one, by a text of its own.
    Text { id: String, text: String },
    /// Ends the merge without a commit.
    Abort,
    /// Makes the commit, if nothing is open.
    Commit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    Base,
    Ours,
    Theirs,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// Memories (ids or prefixes, as they are at `from`) or commits.
    pub what: Vec<String>,
    pub from: String,
    /// The session's where `None`.
    pub into: Option<Name>,
    pub rule: Rule,
    pub mode: Mode,
    pub page: Page,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apply {
    /// As in [`View::at`]; where `None`, the branch that is applied to, as it is now.
    pub from: Option<String>,
    pub to: String,
    /// Ids or prefixes; all that differs where empty.
    pub ids: Vec<String>,
    /// The session's where `None`.
    pub into: Option<Name>,
    pub rule: Rule,
    pub mode: Mode,
    pub page: Page,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// The session's where `None`.
    pub branch: Option<Name>,
    pub what: Back,
    pub mode: Mode,
    pub page: Page,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Back {
    /// The whole branch to this revision.
    To(String),
    /// Only what fits all of these; at least one is given.
    Of {
        /// "you" is what was typed by people.
        agent: Option<String>,
        session: Option<SessionId>,
        project: Option<ProjectId>,
        origin: Option<OriginFilter>,
        since: Option<Time>,
        until: Option<Time>,
        later: Later,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revert {
    /// Ids or prefixes.
    pub commits: Vec<String>,
    /// The session's where `None`.
    pub branch: Option<Name>,
    pub later: Later,
    pub mode: Mode,
    pub page: Page,
}

/// The session's own last operations on the branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    pub way: Way,
    /// How many; 0 is 1.
    pub count: u32,
    /// The session's where `None`.
    pub branch: Option<Name>,
    pub mode: Mode,
    pub page: Page,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    Undo,
    Redo,
}

/// Who taught us this: the history of one memory through merges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    pub view: View,
    pub id: String,
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
}

/// Part of a state, for a file. `start` is 0, then what the last answer said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Export {
    pub view: View,
    pub place: Place,
    pub filter: Filter,
    pub start: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Upkeep {
    /// Forgets now what no name reaches, without the grace period, and shrinks the file.
    Compact,
    /// Builds anew what is derived and what can be read.
    Repair,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// The answer to a JSON-RPC line, or `None` when it wants none (a notification).
    Mcp {
        line: Option<Vec<u8>>,
        keep: Keep,
    },
    Stored(Stored),
    Retrieved(Retrieved),
    Listed(Listed),
    Shown(Box<Shown>),
    Corrected(Corrected),
    Purged(Purged),
    Logged(Logged),
    Verified(Verified),
    Status(Box<Status>),
    Stopping {
        pid: u32,
    },
    Branches(Branches),
    Snapshots(Snapshots),
    Diffed(Box<Diffed>),
    /// Of whatever makes one branch into something else: merge, resolve, pick, apply, rollback, revert, undo, redo.
    Moved(Box<Moved>),
    Blamed(Box<Blamed>),
    Imported(Imported),
    Exported(Exported),
    Compacted(Compacted),
}

/// What the shim does with the line it just sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// Nothing: it is answered.
    Forget,
    /// Send it again, first, on every new connection: it is part of the session's state (`initialize`).
    ForReplay,
}

/// A memory as it is shown: with the length of its shortest unique prefix, at least 8.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shaped {
    pub memory: Memory,
    pub version: VersionId,
    pub short_len: u8,
    /// Signs of an attempt to instruct or to hide (`guard/`); empty for most.
    pub flags: Vec<String>,
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
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    pub memory: Shaped,
    /// 0 to 1: share of the question that the memory answers, priors included.
    pub score: f32,
    pub parts: Option<Parts>,
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
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Corrected {
    pub branch: Name,
    pub memory: Shaped,
    pub before: String,
    pub is_unchanged: bool,
    pub masked: Vec<Masked>,
    pub commit: Option<CommitId>,
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
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    pub point: Point,
    /// Newest first.
    pub commits: Vec<LogEntry>,
    pub total: u32,
    /// The names that stand at one of these commits.
    pub names: Vec<Ref>,
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

/// The branches, or those that were acted on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branches {
    pub branches: Vec<Ref>,
    /// The session's branch, after what was asked.
    pub current: Name,
    /// Branches with a merge in progress.
    pub merging: Vec<Name>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshots {
    /// Newest first: listed, created, restored or deleted ones.
    pub snapshots: Vec<SnapshotEntry>,
    pub total: u32,
    /// The branch that `since` compares with.
    pub branch: Name,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotEntry {
    pub snapshot: Ref,
    /// From the snapshot to the branch.
    pub since: Counts,
}

/// A memory in two states; not live where `None`, or erased since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    pub id: MemoryId,
    pub short_len: u8,
    pub before: Option<Shaped>,
    pub after: Option<Shaped>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diffed {
    pub from: Point,
    pub to: Point,
    pub counts: Counts,
    /// As many of the page as fit an answer.
    pub changes: Vec<Changed>,
    /// Among the page's added memories, those that a memory of the other side, under another id, says almost in the
    /// same words.
    pub alike: Vec<Alike>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alike {
    /// Of a memory that only the later state has.
    pub added: MemoryId,
    /// In the earlier state.
    pub like: Similar,
}

/// What became of a branch, or would.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// Merge, pick …
    pub verb: String,
    pub branch: Name,
    pub mode: Mode,
    /// `None` where nothing was written.
    pub commit: Option<CommitId>,
    pub counts: Counts,
    /// As many of the page as fit an answer.
    pub changes: Vec<Changed>,
    /// Open ones, as many as fit; `counts.conflicts` has their number.
    pub conflicts: Vec<Conflicted>,
    /// Memories left as they are, being somebody's later work, as many as fit: `before` is what going back would have
    /// made of them, `after` what they are.
    pub kept: Vec<Changed>,
    /// The commits that were taken back or done again, newest first, as many as fit.
    pub commits: Vec<LogEntry>,
    pub merged: Option<Merged>,
    /// The branch as it was before, to go back to.
    pub safety: Option<Name>,
    /// A merge is in progress on the branch: `memoria resolve`.
    pub is_pending: bool,
    pub masked: Vec<Masked>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conflicted {
    pub id: MemoryId,
    pub short_len: u8,
    pub base: Option<Shaped>,
    pub ours: Option<Shaped>,
    pub theirs: Option<Shaped>,
    /// How it is settled, if it is: a side's name, or `text`.
    pub settled: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Blamed {
    pub memory: Shaped,
    pub is_live: bool,
    /// Every change of it that the revision reaches, by any parent, newest first, as many as fit.
    pub history: Vec<Past>,
    pub history_total: u32,
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
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exported {
    pub point: Point,
    pub memories: Vec<Memory>,
    pub total: u32,
    pub next: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    pub checks: Vec<Check>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub started_at: Time,
    /// Resident and proportional set size, in bytes; 0 where the system does not tell.
    pub rss_bytes: u64,
    pub pss_bytes: u64,
    pub engine: String,
    pub store: StoreStatus,
    pub sessions: Vec<SessionStatus>,
    pub last_error: Option<(Time, String)>,
    /// A config edit that was refused, and why; the old values stay.
    pub config_error: Option<String>,
    /// When an auto-started daemon exits without sessions; 0 is never.
    pub idle_exit_min: u32,
    /// `(what, path)`: config, data, state, logs, socket.
    pub paths: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionStatus {
    pub session: SessionId,
    pub client: ClientKind,
    pub agent: Option<String>,
    pub agent_version: Option<String>,
    pub project: Option<ProjectId>,
    pub branch: Option<Name>,
    pub pid: u32,
    pub requests: u64,
    pub opened_at: Time,
    pub last_seen: Time,
}
