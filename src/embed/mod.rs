//! Text to vectors: the trait that every embedder keeps, and which one a name means. Nothing here ranks, stores or
//! compares; nothing leaves the machine unless `http` is configured.
//!
//! `builtin` is the table inside the binary, `minilm` our own encoder over one mapped file, `onnx` any other model in
//! a child process, `http` an endpoint; `wordpiece` cuts texts for the first three.

mod background;
pub mod builtin;
pub mod cache;
mod calibrate;
pub mod child;
pub mod http;
pub mod install;
pub mod minilm;
pub mod models;
mod name;
pub mod onnx;
pub mod tokens;
pub mod wordpiece;

use crate::error::Result;
use crate::model::{Calibration, Space};

/// What a text is: some models are told, by a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Something that is looked for.
    Question,
    /// Something that may be found.
    Passage,
}

/// Makes vectors of one space. The same text of the same side always has the same vector.
pub trait Embedder: Send + Sync {
    /// Whose vectors these are.
    fn space(&self) -> &Space;

    /// How their cosines are read.
    fn calibration(&self) -> Calibration;

    /// One vector for each text, in order: `space().dims` numbers, of unit length, or all zeros where the model knows
    /// nothing of the text (an unknown script). Blocks; loads on first use what it needs.
    ///
    /// # Errors
    /// A sentence that says what is missing or broken and what to do. Of one text the whole call fails.
    fn embed(&self, side: Side, texts: &[&str]) -> Result<Vec<Vec<f32>>>;

    /// Whether a vector takes microseconds and waits for nothing: then it may be made on the thread that serves
    /// everybody, and no cache is asked.
    fn is_quick(&self) -> bool {
        false
    }

    /// How it works here, in a few words for `memoria model`: the instructions used, the process, the address.
    fn describe(&self) -> String;

    /// Gives back memory and processes until they are needed again.
    fn rest(&self) {}
}
