//! A version as the index takes it in. What is worked out of its text is worked out when an entry is made, once,
//! by whoever has the time: adding an entry only files it.

use super::terms::{TermId, term_id};
use crate::engine::history::Analysed;
use crate::engine::history::rows::text_key;
use crate::lexical;
use crate::model::{Memory, MemoryId, VersionId};

/// A version as the index takes it in.
#[derive(Clone, Debug)]
pub enum Entry {
    Whole {
        memory: Box<Memory>,
        version: VersionId,
        /// The vid of the memory's first version.
        first: u32,
        words: Words,
        /// [`text_key`] of the memory.
        text: [u8; 16],
    },
    /// An erased version: only its place is left.
    Erased { id: MemoryId, version: VersionId, first: u32 },
}

impl Entry {
    /// Analyses the memory's text, which is most of the work of indexing it.
    pub fn whole(memory: Memory, version: VersionId, first: u32) -> Self {
        let (words, text) = (Words::of(&memory.text), text_key(&memory));
        Self::Whole { memory: Box::new(memory), version, first, words, text }
    }

    /// The memory's id, the version's id, and the vid of the memory's first version.
    pub fn place(&self) -> (MemoryId, VersionId, u32) {
        match self {
            Self::Whole { memory, version, first, .. } => (memory.id, *version, *first),
            Self::Erased { id, version, first } => (*id, *version, *first),
        }
    }
}

/// The words of a text, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// How long the text is in terms, as `lexical::analyse` says.
    pub len: u32,
    /// Rising, each with its occurrences.
    pub(super) frequencies: Vec<(TermId, u16)>,
}

impl Words {
    /// By what the index knows each word.
    pub fn keys(&self) -> impl Iterator<Item = u64> {
        self.frequencies.iter().map(|(term, _)| *term)
    }
}

impl Analysed for Words {
    fn of(text: &str) -> Self {
        let words = lexical::analyse(text);
        let mut ids: Vec<TermId> = words.terms.iter().map(|term| term_id(term)).collect();
        ids.sort_unstable();
        let once = ids.chunk_by(|a, b| a == b);
        let frequencies = once.map(|same| (same[0], u16::try_from(same.len()).unwrap_or(u16::MAX))).collect();
        Self { len: words.len, frequencies }
    }

    fn terms(&self) -> u32 {
        self.len
    }
}
