//! The messages: what a client may ask of the daemon and what it answers. Read this file to know the daemon.
//! Variants are numbered by their order on the wire: only append, and raise the minor version in `hello.rs`.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::{
    Author, Check, CommitId, Confidence, Filter, Kind, Masked, Memory, MemoryId, OpId, Page, Parts, ProjectId,
    SessionId, Source, StoreStatus, SubjectId, Time, Trust, VersionId,
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

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Store {
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct List {
    pub place: Place,
    pub filter: Filter,
    pub page: Page,
}

/// By a whole id or a unique prefix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Show {
    pub id: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Correct {
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
    pub target: PurgeTarget,
    pub reason: Option<String>,
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// Only commits that touched this memory (id or prefix).
    pub memory: Option<String>,
    pub agent: Option<String>,
    pub session: Option<SessionId>,
    pub since: Option<Time>,
    pub until: Option<Time>,
    pub page: Page,
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
    pub memory: Shaped,
    pub before: String,
    pub is_unchanged: bool,
    pub masked: Vec<Masked>,
    pub commit: Option<CommitId>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Purged {
    /// Those that were there and are gone, the first 200 of them; their history stays.
    pub removed: Vec<Shaped>,
    pub removed_total: u32,
    /// What was asked for and was not there.
    pub missing: Vec<String>,
    pub commit: Option<CommitId>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    /// Newest first.
    pub commits: Vec<LogEntry>,
    pub total: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    pub commit: CommitId,
    pub parents: Vec<CommitId>,
    pub author: Author,
    pub verb: String,
    pub note: Option<String>,
    pub at: Time,
    pub added: u32,
    pub removed: u32,
    /// Up to three of the memories that it touched, with the start of their texts.
    pub touched: Vec<(MemoryId, String)>,
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
    pub pid: u32,
    pub requests: u64,
    pub opened_at: Time,
    pub last_seen: Time,
}
