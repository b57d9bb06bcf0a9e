//! What is asked of embedding models and answered. Fields are in their order on the wire: only append.

use serde::{Deserialize, Serialize};

/// A model is meant by its name: `builtin`, `minilm`, `http`, the name of an installed one, or a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Model {
    /// Which models there are. Asked after an installation, it also makes the daemon look again.
    List,
    /// From now on, until another is chosen; `auto` takes the choice back.
    Use(String),
    /// Embeds a few sentences with it, now.
    Test(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Models {
    pub models: Vec<ModelStatus>,
    pub embedding: EmbeddingStatus,
}

/// One model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelStatus {
    pub name: String,
    /// The id that its vectors carry; `None` where it cannot be opened.
    pub id: Option<String>,
    pub dims: u16,
    /// On disk; 0 for what is inside the program or elsewhere.
    pub bytes: u64,
    pub vectors: u32,
    pub pending: u32,
    /// How it works here, or why it does not.
    pub about: String,
}

/// What embedding is about at this moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingStatus {
    /// The model whose vectors answer questions; `None`: words alone do.
    pub serving: Option<String>,
    /// The model that is to serve once its vectors are complete.
    pub wanted: String,
    /// Of the wanted model.
    pub vectors: u32,
    /// Live memories that it has no vector of yet.
    pub pending: u32,
    pub cache_entries: u32,
    pub cache_bytes: u64,
    /// Since the daemon began.
    pub cache_hits: u64,
    pub cache_misses: u64,
    /// Why the wanted model does not serve, where something is wrong with it.
    pub problem: Option<String>,
}

/// What a test of a model came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    pub id: String,
    pub dims: u16,
    pub about: String,
    /// The first text, which may include loading.
    pub first_us: u64,
    /// The mean of the others.
    pub each_us: u64,
    /// Pairs of sentences with their cosines: what means the same, then what does not.
    pub cosines: Vec<(String, String, f32)>,
    /// Whether what means the same is nearer than what does not.
    pub is_sound: bool,
}
