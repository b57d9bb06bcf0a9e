//! MatrixOne as the shared engine.

mod laws;
mod server;
