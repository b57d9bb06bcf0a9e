//! Bytes to types and back: limits, the local socket, the frozen Hello, frames, the codec, and the messages.
//! Nothing here knows a path, a store or JSON.

pub mod codec;
pub mod frame;
pub mod hello;
pub mod limits;
pub mod message;
pub mod socket;
