//! The process `memoriad`.

pub mod logs;
pub mod watch;
