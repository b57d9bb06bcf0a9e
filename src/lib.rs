//! Memoria: one memory for every coding agent on a machine. This file is the map; it holds no code.
//!
//! ```text
//! agent/IDE --JSON line--> memoria mcp (client/shim) --frame--> daemon/session --> mcp/ --> Request --+
//! person ---command------> memoria     (cli/)        --frame--> daemon/session ------------ Request --+
//!                                                                         daemon/dispatch  <----------+
//!                                                               one line per verb |
//!                                        guard/ <-- service/<verb>.rs --> search/ --> lexical/
//!                                                         |  `--> embed/
//!                                                  engine::Engine --> embedded
//! ```

pub mod agents;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod embed;
pub mod engine;
pub mod error;
pub mod guard;
pub mod lexical;
pub mod mcp;
pub mod model;
pub mod paths;
pub mod search;
pub mod service;
pub mod wire;
