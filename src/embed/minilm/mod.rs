//! all-MiniLM-L6-v2 in an encoder of our own: a model of one file, mapped, with weights of 8 bits, and the CPU's
//! integer instructions. `file` is its layout, `convert` makes it, `encode` runs it. A runtime for any model takes 200
//! MB; this takes what is used of 23 MB of file, and gives it back.
//!
//! Where it differs from the published model: weights and inputs of layers have 8 bits (the cosine of its vectors with
//! the published model's is .998 in the mean), and a text of which more than a quarter is of a script that the model
//! does not know gets no vector. As there, only the first 256 tokens of a text count.

mod convert;
mod encode;
mod file;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use memoria_kernel::matrix;

pub use self::convert::convert;
use self::encode::Encoder;
use self::file::Mapped;
use super::wordpiece::Vocabulary;
use super::{Embedder, Side};
use crate::error::{Error, Result};
use crate::model::{Calibration, Space};

/// Of what is made of the published weights here: another way to quantise is another model.
pub const MODEL: &str = "minilm-l6-v2-int8-1";
/// The file in the model's folder.
pub const FILE: &str = "encoder.bin";
/// Tokens of a text that count, with the two that begin and end it: what the published model was made for.
const TOKENS_MAX: usize = 256;

/// The model, loaded at its first use.
pub struct Minilm {
    path: PathBuf,
    space: Space,
    cpu: matrix::Path,
    loaded: Mutex<Option<Loaded>>,
}

struct Loaded {
    encoder: Encoder,
    vocabulary: Vocabulary,
    /// The pieces that begin and end every text.
    ends: [u32; 2],
    tokens_max: usize,
}

impl Minilm {
    /// The model in this file, which [`convert`] made. Reads its header and loads nothing.
    ///
    /// # Errors
    /// If there is none, or it is cut short or of another kind.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_as(path, MODEL)
    }

    /// The same, by other instructions than the fastest: for measuring. The vectors are the same.
    pub fn by(self, cpu: matrix::Path) -> Self {
        Self { cpu, ..self }
    }

    fn open_as(path: &Path, model: &str) -> Result<Self> {
        let shape = file::look(path, model)?;
        let dims = u16::try_from(shape.width).map_err(|_| Error::corrupt("the model's vectors are too long"))?;
        let space = Space { model: model.parse()?, dims };
        Ok(Self { path: path.to_owned(), space, cpu: matrix::Path::best(), loaded: Mutex::new(None) })
    }

    /// What a panic left behind is dropped: it may be half done.
    fn loaded(&self) -> MutexGuard<'_, Option<Loaded>> {
        self.loaded.lock().unwrap_or_else(|poisoned: PoisonError<_>| {
            let mut loaded = poisoned.into_inner();
            *loaded = None;
            self.loaded.clear_poison();
            loaded
        })
    }
}

impl Loaded {
    fn load(path: &Path, model: &str, cpu: matrix::Path) -> Result<Self> {
        let mapped = Mapped::open(path, model)?;
        let text = std::str::from_utf8(mapped.bytes(&mapped.layout.vocabulary));
        let wrong = |what: &str| {
            Error::corrupt(format!(
                "the vocabulary in {} {what}: install the model again with `memoria model install minilm`",
                path.display()
            ))
        };
        let vocabulary = Vocabulary::new(text.map_err(|_| wrong("is no text"))?.to_owned())?;
        let (Some(begin), Some(end)) = (vocabulary.id("[CLS]"), vocabulary.id("[SEP]")) else {
            return Err(wrong("lacks [CLS] or [SEP]"));
        };
        if vocabulary.len() != mapped.shape.pieces {
            return Err(wrong("is not that of the weights"));
        }
        let tokens_max = mapped.shape.positions;
        Ok(Self { encoder: Encoder::new(mapped, cpu), vocabulary, ends: [begin, end], tokens_max })
    }

    /// The tokens of a text; none if the model has no opinion on it, because it knows no word of it, or because more
    /// than a quarter is of another script: what it makes of unknown words is alike for all of them, and no meaning.
    fn tokens(&self, text: &str) -> Option<Vec<u32>> {
        let pieces = self.vocabulary.cut(text, self.tokens_max - self.ends.len());
        let is_known = pieces.unknown < pieces.ids.len() && pieces.foreign * 4 <= pieces.ids.len();
        is_known.then(|| {
            let [begin, end] = self.ends;
            std::iter::once(begin).chain(pieces.ids).chain([end]).collect()
        })
    }

    fn embed(&mut self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let tokens: Vec<Option<Vec<u32>>> = texts.iter().map(|text| self.tokens(text)).collect();
        let known: Vec<Vec<u32>> = tokens.iter().flatten().cloned().collect();
        let mut vectors = self.encoder.encode(&known)?.into_iter();
        let none = || vec![0.0; self.encoder.dims()];
        Ok(tokens.iter().map(|tokens| tokens.as_ref().and_then(|_| vectors.next()).unwrap_or_else(none)).collect())
    }
}

impl Embedder for Minilm {
    fn space(&self) -> &Space {
        &self.space
    }

    fn calibration(&self) -> Calibration {
        // By `calibrate`, with the weights of 32 bits.
        Calibration { floor: 0.2, ceiling: 0.45 }
    }

    fn embed(&self, _side: Side, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let mut loaded = self.loaded();
        if loaded.is_none() {
            *loaded = Some(Loaded::load(&self.path, self.space.model.as_str(), self.cpu)?);
        }
        loaded.as_mut().map_or_else(|| Ok(Vec::new()), |loaded| loaded.embed(texts))
    }

    fn describe(&self) -> String {
        format!("our own encoder, 8 bits, {} instructions", self.cpu.name())
    }

    fn rest(&self) {
        *self.loaded() = None;
    }
}

#[cfg(test)]
mod tests;
