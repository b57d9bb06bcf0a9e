//! The rows of versions: canonical bytes with their salt, or what is left of an erased one.

use super::damaged;
use crate::error::Result;
use crate::model::canon::{Reader, Writer};
use crate::model::{Memory, MemoryId, Salt, VersionId};

const WHOLE: u8 = 0;
const ERASED_FORM: u8 = 1;

/// One version. `terms` is the length of its text in terms when it was written; `first` the vid of its memory's first
/// version, which is the memory's number: its own vid where it is the first.
#[derive(Clone, Copy, Debug)]
pub enum VersionRow<'a> {
    /// The canonical bytes with the salt that they are hashed with.
    Whole { terms: u32, first: u32, salt: Salt, canonical: &'a [u8] },
    /// What is left when the bytes are gone, so that history still verifies.
    Erased { terms: u32, first: u32, version: VersionId, memory: MemoryId },
}

impl<'a> VersionRow<'a> {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        match self {
            Self::Whole { terms, first, salt, canonical } => {
                out.0.reserve(canonical.len() + 25);
                out.u8(WHOLE).u32(*terms).u32(*first).fixed(&salt.0).fixed(canonical);
            }
            Self::Erased { terms, first, version, memory } => {
                out.u8(ERASED_FORM).u32(*terms).u32(*first).fixed(&version.0).fixed(&memory.0);
            }
        }
        out.0
    }

    pub fn decode(bytes: &'a [u8]) -> Result<Self> {
        let mut from = Reader(bytes);
        let (form, terms, first) = (from.u8()?, from.u32()?, from.u32()?);
        match form {
            WHOLE => Ok(Self::Whole { terms, first, salt: Salt(from.array()?), canonical: from.0 }),
            ERASED_FORM => {
                let (version, memory) = (VersionId(from.array()?), MemoryId(from.array()?));
                from.end()?;
                Ok(Self::Erased { terms, first, version, memory })
            }
            _ => Err(damaged("a version's row has an unknown form")),
        }
    }

    pub fn terms(&self) -> u32 {
        let (Self::Whole { terms, .. } | Self::Erased { terms, .. }) = self;
        *terms
    }

    pub fn first(&self) -> u32 {
        let (Self::Whole { first, .. } | Self::Erased { first, .. }) = self;
        *first
    }

    /// Of a whole one, the hash of its bytes.
    pub fn id(&self) -> VersionId {
        match self {
            Self::Whole { salt, canonical, .. } => Memory::version_id(salt, canonical),
            Self::Erased { version, .. } => *version,
        }
    }

    /// Which memory this is a version of, without reading the rest.
    pub fn memory_id(&self) -> Result<MemoryId> {
        match self {
            Self::Whole { canonical, .. } => {
                let id = canonical.get(1..17).and_then(|id| id.try_into().ok());
                id.map(MemoryId).ok_or_else(|| damaged("a version's row ends too early"))
            }
            Self::Erased { memory, .. } => Ok(*memory),
        }
    }

    /// What it says; `None` where the bytes are gone.
    pub fn memory(&self) -> Result<Option<Memory>> {
        match self {
            Self::Whole { canonical, .. } => Memory::decode(canonical).map(Some),
            Self::Erased { .. } => Ok(None),
        }
    }
}

/// What deduplication goes by: equal text, project, kind and subject.
pub fn text_key(memory: &Memory) -> [u8; 16] {
    let mut out = Writer::default();
    out.u8(memory.kind as u8).text(&memory.text);
    out.optional_text(memory.project.as_ref().map(|project| project.as_str()));
    out.optional_text(memory.subject.as_ref().map(|subject| subject.as_str()));
    let mut key = [0; 16];
    key.copy_from_slice(&blake3::hash(&out.0).as_bytes()[..16]);
    key
}
