//! The process `memoriad`: how it comes up, whom it serves, and how it goes down.
//! It moves requests between sessions and the store, and decides nothing about memories.

mod announce;
#[cfg(unix)]
mod detach;
pub mod dispatch;
mod drain;
mod house;
#[cfg(unix)]
mod inherited;
mod listen;
mod lock;
pub mod logs;
mod relocation;
mod run;
mod session;
mod status;
mod trim;
pub mod watch;

pub use run::{How, run};
