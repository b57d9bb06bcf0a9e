//! The shared engine: the same memory in a MatrixOne database, for many machines. Truth is there and nowhere else; here
//! are only caches of what never changes.

pub mod fault;
pub mod pool;
pub mod session;
pub mod settings;
mod sql;
