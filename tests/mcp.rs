//! An agent's session without a daemon: `mcp::Session` over a backend in memory.

#[path = "mcp/backend.rs"]
mod backend;
#[path = "mcp/protocol.rs"]
mod protocol;
#[path = "mcp/quoting.rs"]
mod quoting;
#[path = "mcp/tools.rs"]
mod tools;
