//! What a vector is called and carries: the model that made it, its dimensions, and how its cosines are read. No
//! arithmetic and no storage: `embed/` makes vectors, an engine keeps them, `search/` weighs them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::VersionId;
use crate::error::{Error, Result};

/// Bytes of a model's id at most.
const MODEL_ID_BYTES_MAX: usize = 200;
/// Dimensions of a vector at most.
pub const DIMS_MAX: u16 = 4_096;

/// Which model made a vector, with everything that changes its vectors (weights, quantisation, prefixes, pooling).
/// Vectors of different models never meet in one comparison.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelId(String);

impl ModelId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > MODEL_ID_BYTES_MAX || !is_plain {
            return Err(Error::invalid(format!(
                "a model's id has 1 to {MODEL_ID_BYTES_MAX} visible ASCII characters and no spaces"
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ModelId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ModelId> for String {
    fn from(id: ModelId) -> Self {
        id.0
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where vectors can be compared with each other: one model, one number of dimensions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Space {
    /// Who makes the vectors.
    pub model: ModelId,
    /// Numbers in a vector, 1 to [`DIMS_MAX`].
    pub dims: u16,
}

impl Space {
    /// Whether there can be such a space.
    pub fn check_dims(&self) -> Result<()> {
        if (1..=DIMS_MAX).contains(&self.dims) {
            return Ok(());
        }
        Err(Error::invalid(format!("vectors have 1 to {DIMS_MAX} dimensions, not {}", self.dims)))
    }

    /// Whether a vector can be one of this space.
    pub fn check(&self, vector: &[f32]) -> Result<()> {
        let Self { model, dims } = self;
        if vector.len() != usize::from(*dims) {
            return Err(Error::invalid(format!(
                "a vector of {model} has {dims} numbers, and this one has {}: the model does not make what it says",
                vector.len()
            )));
        }
        if !vector.iter().all(|number| number.is_finite()) {
            return Err(Error::invalid(format!("a vector of {model} has a number that is none: the model is broken")));
        }
        Ok(())
    }
}

/// How the cosines of a model are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// What texts that have nothing to do with each other reach at most, as a rule (their 95th percentile).
    pub floor: f32,
    /// What a question and the plain answer to it reach in the middle (the median).
    pub ceiling: f32,
}

/// How the memories of a state lie to a question.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cosines {
    /// Live memories that have a vector.
    pub count: u32,
    /// Of their cosines with the question.
    pub mean: f32,
    /// Standard deviation of the same.
    pub deviation: f32,
}

/// A version that has no vector in some space yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unembedded {
    /// The engine's own number for it.
    pub slot: u64,
    /// Which version it is: the slot is believed only with it.
    pub version: VersionId,
    /// What is to be embedded.
    pub text: String,
}

/// A version's vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// As [`Unembedded`] named it.
    pub slot: u64,
    /// As [`Unembedded`] named it.
    pub version: VersionId,
    /// Of unit length, or all zeros where the model has no opinion on the text.
    pub vector: Vec<f32>,
}

/// How far a space is filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Which.
    pub space: Space,
    /// Versions that have a vector.
    pub vectors: u32,
    /// Versions that a branch holds and that have none yet.
    pub pending: u32,
    /// On disk.
    pub bytes: u64,
}
