//! The other side of the socket: finding or starting the daemon, asking it, and the shim that agents talk to.
//! It carries bytes and decides nothing about memories. All of it runs on one thread.

mod call;
pub mod connect;
mod fault;
mod input;
mod pipeline;
pub mod project;
pub mod shim;
pub mod spawn;

pub use call::{Client, Running, introduction};
pub use pipeline::Pipeline;
