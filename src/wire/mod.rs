//! Bytes to types and back: limits, the frozen Hello, frames, the codec, and the messages themselves.
//! Nothing here knows a socket's address, a store or JSON.

pub mod codec;
pub mod frame;
pub mod hello;
pub mod limits;
pub mod message;
