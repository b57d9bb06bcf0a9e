//! The tables of `memoria.redb` and the bytes of their rows: the whole layout of truth on disk, format 2.
//! Local numbers (`vid` of a version, number of a commit) are handed out in order and never again, so that rows are
//! appended; only hashes of canonical bytes leave the store. Look-ups by memory, version and text are the index's.

mod commit;
mod name;
mod reply;

use redb::{Key, ReadTransaction, ReadableTable, TableDefinition, Value};
use roaring::RoaringBitmap;

use crate::error::{Error, Result};
use crate::model::canon::{Reader, Writer};
use crate::model::{Memory, MemoryId, Salt, VersionId};

pub use commit::{Body, CommitRow, Delta, Place, place_of};
pub use name::{Event, Move, Standing, every_name, last_move, next_move};
pub use reply::{Reply, pending, pending_bytes};

/// What this build reads and writes.
pub const FORMAT: u32 = 2;
/// A commit of more changes is wide: it has no row per memory, and keeps its delta as two bitmaps.
pub const NARROW_CHANGES_MAX: usize = 1_000;
/// A state is at most this many changes from a keyframe.
pub const KEYFRAME_CHANGES: u32 = 1_000;

type Table<K, V> = TableDefinition<'static, K, V>;

/// One row, [`Meta`].
pub const META: Table<(), &[u8]> = TableDefinition::new("meta");
/// vid -> [`VersionRow`].
pub const VERSIONS: Table<u32, &[u8]> = TableDefinition::new("versions");
/// Number -> [`CommitRow`].
pub const COMMITS: Table<u32, &[u8]> = TableDefinition::new("commits");
pub const COMMIT_IDS: Table<&[u8; 32], u32> = TableDefinition::new("commit_ids");
/// Number of a wide commit -> [`Delta`] as bitmaps.
pub const WIDE: Table<u32, &[u8]> = TableDefinition::new("wide");
/// Keyframes: number of a commit -> bitmap of its state, as the deltas make it.
pub const STATES: Table<u32, &[u8]> = TableDefinition::new("states");
/// Every move of every name: [`move_key`] -> [`Move`]. A name's last row says where it stands.
pub const NAMES: Table<&[u8], &[u8]> = TableDefinition::new("names");
/// Operation id -> [`Reply`].
pub const OPS: Table<&[u8; 24], &[u8]> = TableDefinition::new("ops");
/// [`touch`] of a memory number and the number of each narrow commit that changed that memory.
pub const TOUCHES: Table<u64, ()> = TableDefinition::new("touches");
/// One row: the bitmap of the versions whose bytes are gone. They are taken out of every state that is read.
pub const ERASED: Table<(), &[u8]> = TableDefinition::new("erased");
/// Branch -> its merge in progress, as [`pending_bytes`].
pub const PENDING: Table<&str, &[u8]> = TableDefinition::new("pending");

/// A consistent view of truth, as of the moment it was taken.
pub struct Snapshot(pub ReadTransaction);

impl Snapshot {
    pub fn open<K: Key, V: Value>(&self, table: Table<K, V>) -> Result<redb::ReadOnlyTable<K, V>> {
        Ok(self.0.open_table(table)?)
    }
}

/// What the store is. Written by `compact`, `erase` and `rewrite` only, never by an ordinary write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    pub format: u32,
    /// Random: derived data of another store is recognised by it.
    pub store: [u8; 16],
    /// Raised whenever vids come to mean something else; derived data of an older generation is void.
    pub generation: u64,
    /// No lower number is handed out: the last rows may have been removed, and their numbers are never used again.
    pub next_vid: u32,
    pub next_commit: u32,
    /// An erasure is durable, but its bytes may still be in free pages: a rewrite takes them away.
    pub scrub: bool,
}

impl Meta {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u32(self.format).fixed(&self.store).u64(self.generation);
        out.u32(self.next_vid).u32(self.next_commit).u8(u8::from(self.scrub));
        out.0
    }

    /// Of another format only the number is read.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader(bytes);
        let format = from.u32()?;
        if format != FORMAT {
            return Ok(Self { format, store: [0; 16], generation: 0, next_vid: 0, next_commit: 0, scrub: false });
        }
        let meta = Self {
            format,
            store: from.array()?,
            generation: from.u64()?,
            next_vid: from.u32()?,
            next_commit: from.u32()?,
            scrub: from.u8()? != 0,
        };
        from.end()?;
        Ok(meta)
    }
}

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

/// A bitmap as it is stored: run-compressed.
pub fn bitmap_bytes(bitmap: &RoaringBitmap) -> Result<Vec<u8>> {
    let mut compact = bitmap.clone();
    compact.optimize();
    let mut out = Vec::with_capacity(compact.serialized_size());
    compact.serialize_into(&mut out).map_err(|source| Error::io("write a bitmap", &source))?;
    Ok(out)
}

pub fn bitmap(bytes: &[u8]) -> Result<RoaringBitmap> {
    RoaringBitmap::deserialize_from(bytes).map_err(|_| damaged("a bitmap cannot be read"))
}

/// A memory's number and a commit's, as [`TOUCHES`] has them: one memory's commits stand together, in order.
pub fn touch(memory: u32, commit: u32) -> u64 {
    u64::from(memory) << 32 | u64::from(commit)
}

/// The commits that touched a memory, in order.
pub fn touches_of(touches: &impl ReadableTable<u64, ()>, memory: u32) -> Result<Vec<u32>> {
    touches.range(touch(memory, 0)..=touch(memory, u32::MAX))?.map(|row| Ok(row?.0.value() as u32)).collect()
}

pub fn damaged(what: &str) -> Error {
    Error::corrupt(format!("the store is damaged: {what}. Run `memoria verify`."))
}
