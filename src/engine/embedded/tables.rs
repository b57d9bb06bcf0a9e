//! The tables of `memoria.redb`: the layout of truth on disk, format 2. The bytes of most rows are `history::rows`'.
//! Local numbers (`vid` of a version, number of a commit) are handed out in order and never again, so that rows are
//! appended; only hashes of canonical bytes leave the store. Look-ups by memory, version and text are the index's.

mod names;

use redb::{Key, ReadTransaction, ReadableTable, TableDefinition, Value};

pub use super::super::history::rows::{
    Body, CommitRow, Delta, Move, Place, Reply, VersionRow, bitmap, bitmap_bytes, damaged, feedback, feedback_bytes,
    pending, pending_bytes,
};
use crate::error::Result;
use crate::model::canon::{Reader, Writer};

pub use names::{every_name, last_move, move_key, move_of, next_move};

/// What this build reads and writes.
pub const FORMAT: u32 = 2;

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
/// Memory id -> what was said of it, as [`feedback_bytes`]. It is there once somebody has said something.
pub const FEEDBACK: Table<&[u8; 16], &[u8]> = TableDefinition::new("feedback");

/// A consistent view of truth, as of the moment it was taken.
pub struct Snapshot(pub ReadTransaction);

impl Snapshot {
    pub fn open<K: Key, V: Value>(&self, table: Table<K, V>) -> Result<redb::ReadOnlyTable<K, V>> {
        Ok(self.0.open_table(table)?)
    }

    /// A table that is made when it gets its first row.
    pub fn open_if_there<K: Key, V: Value>(&self, table: Table<K, V>) -> Result<Option<redb::ReadOnlyTable<K, V>>> {
        match self.0.open_table(table) {
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            opened => Ok(Some(opened?)),
        }
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

/// A memory's number and a commit's, as [`TOUCHES`] has them: one memory's commits stand together, in order.
pub fn touch(memory: u32, commit: u32) -> u64 {
    u64::from(memory) << 32 | u64::from(commit)
}

/// The commits that touched a memory, in order.
pub fn touches_of(touches: &impl ReadableTable<u64, ()>, memory: u32) -> Result<Vec<u32>> {
    touches.range(touch(memory, 0)..=touch(memory, u32::MAX))?.map(|row| Ok(row?.0.value() as u32)).collect()
}

/// Where a commit stands, without the rest of its row.
pub fn place_of(commits: &impl ReadableTable<u32, &'static [u8]>, number: u32) -> Result<Place> {
    match commits.get(number)? {
        Some(row) => Place::decode(&mut Reader(row.value())),
        None => Err(damaged(&format!("commit {number} is missing"))),
    }
}
