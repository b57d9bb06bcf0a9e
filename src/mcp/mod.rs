//! JSON-RPC and tools: one session with one agent, from lines to requests and from responses to lines.
//! It owns the protocol (`session`, `message`, `server`), the tools' names and parameters
//! (`tools.json`, `tools`, `arguments`) and how memories are shown to a model (`reply`, `quote`).
//! It never decides anything about memories, and holds nothing that outlives its agent.

mod arguments;
mod message;
mod prompts;
mod quote;
mod reply;
mod resources;
mod server;
mod session;
mod tools;

pub use reply::briefing::written as briefing;
pub use session::{List, Session};

use crate::error::Result;
use crate::model::OpId;
use crate::wire::message::{Keep, Request, Response};

/// What a session asks of the daemon. Dropping the future of `call` means that the agent cancelled.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Serves one request; the same operation again gets the first reply.
    fn call(&self, op: OpId, request: Request) -> impl Future<Output = Result<Response>> + Send;

    /// Which tools are listed; asked for each list.
    fn profile(&self) -> Profile;

    /// Who is calling, as the agent itself says: called before the first request that follows, and when it changes.
    fn agent(&self, name: &str, version: &str);
}

/// Which tools an agent is shown. Every tool answers when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Those of daily work.
    Core,
    /// All of them.
    Full,
}

/// What becomes of one line from an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The line to print, without its newline; `None` for what wants no answer.
    pub line: Option<Vec<u8>>,
    /// Whether the shim sends the line again, first, on every new connection.
    pub keep: Keep,
}
