//! An agent's session without a daemon: `mcp::Session` over a backend in memory.

#[path = "mcp/attached.rs"]
mod attached;
#[path = "mcp/backend.rs"]
mod backend;
#[path = "mcp/protocol.rs"]
mod protocol;
#[path = "mcp/quoting.rs"]
mod quoting;
#[path = "mcp/replies.rs"]
mod replies;
#[path = "mcp/samples.rs"]
mod samples;
#[path = "mcp/shapes.rs"]
mod shapes;
#[path = "mcp/tools.rs"]
mod tools;
#[path = "mcp/versions.rs"]
mod versions;
