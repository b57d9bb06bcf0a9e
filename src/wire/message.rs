//! The messages: what a client may ask of the daemon and what it answers. Read this file to know the daemon;
//! `memories`, `marks`, `versions`, `models`, `relocation` and `briefing` say what belongs to each question.
//! Variants are numbered by their order on the wire: only append, and raise the minor version in `hello.rs`.

mod briefing;
mod marks;
mod memories;
mod models;
mod relocation;
mod versions;

use serde::{Deserialize, Serialize};

pub use self::briefing::*;
pub use self::marks::*;
pub use self::memories::*;
pub use self::models::*;
pub use self::relocation::*;
pub use self::versions::*;
use crate::error::Error;
use crate::model::{Check, Compacted, Name, OpId, ProjectId, SessionId, StoreStatus, Time};

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
    /// The agent's input has ended, so the session is over for good, and not merely its connection.
    Goodbye,
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
    Model(Model),
    Relocate(Relocate),
    Brief(Brief),
    Feedback(Rate),
    Mark(Mark),
    Profile(Profile),
    EndSession(EndSession),
}

impl Request {
    /// Whether serving it may change the store.
    pub fn writes(&self) -> bool {
        match self {
            Self::Branch(Branch::List { .. }) | Self::Snapshot(Snapshot::List { .. }) => false,
            Self::Store(_)
            | Self::Correct(_)
            | Self::Purge(_)
            | Self::Branch(_)
            | Self::Snapshot(_)
            | Self::Merge(_)
            | Self::Resolve(_)
            | Self::Pick(_)
            | Self::Apply(_)
            | Self::Rollback(_)
            | Self::Revert(_)
            | Self::Undo(_)
            | Self::Import(_)
            | Self::Upkeep(_)
            | Self::Feedback(_)
            | Self::Mark(_)
            | Self::EndSession(_) => true,
            Self::Mcp(_)
            | Self::Retrieve(_)
            | Self::List(_)
            | Self::Show(_)
            | Self::Log(_)
            | Self::Verify
            | Self::Status
            | Self::Stop(_)
            | Self::Checkout(_)
            | Self::Diff(_)
            | Self::Blame(_)
            | Self::Export(_)
            | Self::Model(_)
            | Self::Relocate(_)
            | Self::Brief(_)
            | Self::Profile(_) => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// A person asked for it.
    Stop,
    /// A newer client, or the service, wants to start its own daemon.
    HandOver,
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
    Models(Models),
    ModelTested(Tested),
    Relocated(Relocated),
    Briefed(Box<Briefed>),
    Rated(Rated),
    Marked(Marked),
    Profiled(Profiled),
    SessionEnded(SessionEnded),
}

/// What the shim does with the line it just sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// Nothing: it is answered.
    Forget,
    /// Send it again, first, on every new connection: it is part of the session's state (`initialize`).
    ForReplay,
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
    pub embedding: EmbeddingStatus,
    /// Where the store lies when it does not lie here: `host:port/database`.
    pub server: Option<String>,
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
