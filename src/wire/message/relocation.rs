//! What is asked and answered while a whole store goes from one engine to the other. Fields are in their order on the
//! wire: only append.

use serde::{Deserialize, Serialize};

/// What keeps memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineName {
    Embedded,
    MatrixOne,
}

impl EngineName {
    /// As the settings have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::MatrixOne => "matrixone",
        }
    }
}

/// Of the store that serves. It goes on as long as somebody asks, and is asked again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relocate {
    /// Begins, or goes on with what was begun earlier.
    Go { to: EngineName },
    /// Lets go of what was copied so far.
    Abandon { to: EngineName },
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relocated {
    pub stage: RelocationStage,
    /// Rows that were copied since somebody asked first.
    pub rows: u64,
    /// Of all that is to be done, 0 to 1: about.
    pub share: f32,
    /// What the two stores were found to agree on, once it is done.
    pub branches: u32,
    pub snapshots: u32,
    pub commits: u32,
    pub questions: u32,
}

impl Relocated {
    /// Before anything is known to agree.
    pub fn of(stage: RelocationStage, rows: u64, share: f32) -> Self {
        Self { stage, rows, share, branches: 0, snapshots: 0, commits: 0, questions: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RelocationStage {
    Copying,
    Comparing,
    Sealing,
    /// Both are asked the same questions.
    Checking,
    /// The new store is whole, and waits to be named in the settings.
    Done,
    Abandoned,
}
