//! An agent's session without a daemon: `mcp::Session` over a backend in memory.

#[path = "mcp/backend.rs"]
mod backend;
#[path = "mcp/protocol.rs"]
mod protocol;
