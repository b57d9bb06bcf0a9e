//! The tables of `memoria.redb` and the bytes of their rows: the whole layout of truth on disk.
//! Local numbers (`vid` of a version, number of a commit) are handed out in order, so the next one is one past the
//! last row; only hashes of canonical bytes leave the store.

use redb::{Key, ReadTransaction, ReadableTable, TableDefinition, Value};
use roaring::RoaringBitmap;

use crate::error::{Error, Result};
use crate::model::canon::{Reader, Writer};
use crate::model::{Applied, Commit, CommitId, Memory, MemoryId, Name, Outcome, Salt, Time, VersionId};

/// What this build reads and writes.
pub const FORMAT: u32 = 1;
/// A commit of more changes is wide: it has no row per memory, and keeps its delta as two bitmaps.
pub const NARROW_CHANGES_MAX: usize = 1_000;
/// A state is at most this many changes from a keyframe.
pub const KEYFRAME_CHANGES: u32 = 1_000;

type Table<K, V> = TableDefinition<'static, K, V>;

/// One row, [`Meta`].
pub const META: Table<(), &[u8]> = TableDefinition::new("meta");
/// vid -> [`VersionRow`].
pub const VERSIONS: Table<u32, &[u8]> = TableDefinition::new("versions");
pub const VERSION_IDS: Table<&[u8; 32], u32> = TableDefinition::new("version_ids");
/// Memory id and vid: a memory's versions stand together, and prefixes of ids are ranges.
pub const MEMORIES: Table<&[u8; 20], ()> = TableDefinition::new("memories");
/// Number -> [`CommitRow`].
pub const COMMITS: Table<u32, &[u8]> = TableDefinition::new("commits");
pub const COMMIT_IDS: Table<&[u8; 32], u32> = TableDefinition::new("commit_ids");
/// Number of a wide commit -> [`Delta`] as bitmaps.
pub const WIDE: Table<u32, &[u8]> = TableDefinition::new("wide");
/// Keyframes: number of a commit -> bitmap of its state.
pub const STATES: Table<u32, &[u8]> = TableDefinition::new("states");
/// Branch -> number of its head.
pub const NAMES: Table<&str, u32> = TableDefinition::new("names");
/// Every move of a name: [`move_key`] -> number of the commit it went to.
pub const MOVES: Table<&[u8], u32> = TableDefinition::new("moves");
/// Operation id -> [`Reply`].
pub const OPS: Table<&[u8; 24], &[u8]> = TableDefinition::new("ops");
/// Memory id and number of each narrow commit that changed it.
pub const TOUCHES: Table<&[u8; 20], ()> = TableDefinition::new("touches");
/// `index::text_key` and vid: equal texts, for exact deduplication.
pub const TEXTS: Table<&[u8; 20], ()> = TableDefinition::new("texts");

/// A consistent view of truth, as of the moment it was taken.
pub struct Snapshot(pub ReadTransaction);

impl Snapshot {
    pub fn open<K: Key, V: Value>(&self, table: Table<K, V>) -> Result<redb::ReadOnlyTable<K, V>> {
        Ok(self.0.open_table(table)?)
    }
}

/// What the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    pub format: u32,
    /// Random: derived data of another store is recognised by it.
    pub store: [u8; 16],
    /// Raised whenever vids come to mean something else; derived data of an older generation is void.
    pub generation: u64,
}

impl Meta {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u32(self.format).fixed(&self.store).u64(self.generation);
        out.0
    }

    /// Of a newer format only the number is read.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader(bytes);
        let format = from.u32()?;
        if format > FORMAT {
            return Ok(Self { format, store: [0; 16], generation: 0 });
        }
        let meta = Self { format, store: from.array()?, generation: from.u64()? };
        from.end()?;
        Ok(meta)
    }
}

const WHOLE: u8 = 0;

/// One version: its canonical bytes with the salt that they are hashed with.
#[derive(Clone, Copy, Debug)]
pub struct VersionRow<'a> {
    /// Length of the text in terms when it was written.
    pub terms: u32,
    pub salt: Salt,
    pub canonical: &'a [u8],
}

impl<'a> VersionRow<'a> {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(self.canonical.len() + 21));
        out.u8(WHOLE).u32(self.terms).fixed(&self.salt.0).fixed(self.canonical);
        out.0
    }

    pub fn decode(bytes: &'a [u8]) -> Result<Self> {
        let mut from = Reader(bytes);
        if from.u8()? != WHOLE {
            return Err(damaged("a version's row has an unknown form"));
        }
        Ok(Self { terms: from.u32()?, salt: Salt(from.array()?), canonical: from.0 })
    }

    pub fn id(&self) -> VersionId {
        Memory::version_id(&self.salt, self.canonical)
    }

    pub fn memory(&self) -> Result<Memory> {
        Memory::decode(self.canonical)
    }
}

/// One commit with its place among the others.
#[derive(Clone, Debug, PartialEq)]
pub struct CommitRow {
    pub place: Place,
    pub live: u32,
    pub tokens: u64,
    /// Changes since the nearest keyframe on the way of first parents; 0 where there is one.
    pub since_keyframe: u32,
    pub body: Body,
}

/// Where a commit stands: `jump` skips back over first parents so that any ancestor is O(log n) steps away
/// (Myers, "An applicative random-access stack", 1983).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First parents behind it.
    pub depth: u32,
    pub parents: [Option<u32>; 2],
    pub jump: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// The canonical bytes, with the delta by local numbers beside them.
    Narrow { canonical: Vec<u8>, delta: Delta },
    /// The canonical bytes without `added` and `removed`, which are in [`WIDE`]; and the id, which needs both.
    Wide { id: CommitId, bare: Vec<u8> },
}

/// What a commit adds to its first parent's state and removes from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    pub added: RoaringBitmap,
    pub removed: RoaringBitmap,
}

const NONE: u32 = u32::MAX;

impl CommitRow {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        let [first, second] = self.place.parents.map(|parent| parent.unwrap_or(NONE));
        out.u32(self.place.depth).u32(first).u32(second).u32(self.place.jump);
        out.u32(self.live).u64(self.tokens).u32(self.since_keyframe);
        match &self.body {
            Body::Narrow { canonical, delta } => {
                out.u8(0);
                for side in [&delta.added, &delta.removed] {
                    out.u16(side.len() as u16);
                    for vid in side {
                        out.u32(vid);
                    }
                }
                out.fixed(canonical);
            }
            Body::Wide { id, bare } => {
                out.u8(1).fixed(&id.0).fixed(bare);
            }
        }
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader(bytes);
        let place = Place::decode(&mut from)?;
        let (live, tokens, since_keyframe) = (from.u32()?, from.u64()?, from.u32()?);
        let body = match from.u8()? {
            0 => {
                let mut side = || {
                    let len = from.u16()?;
                    (0..len).map(|_| from.u32()).collect::<Result<RoaringBitmap>>()
                };
                let delta = Delta { added: side()?, removed: side()? };
                Body::Narrow { canonical: from.0.to_vec(), delta }
            }
            1 => Body::Wide { id: CommitId(from.array()?), bare: from.0.to_vec() },
            _ => return Err(damaged("a commit's row has an unknown form")),
        };
        Ok(Self { place, live, tokens, since_keyframe, body })
    }

    pub fn id(&self) -> CommitId {
        match &self.body {
            Body::Narrow { canonical, .. } => Commit::id_of(canonical),
            Body::Wide { id, .. } => *id,
        }
    }

    /// The commit, without `added` and `removed` where it is wide.
    pub fn bare(&self) -> Result<Commit> {
        match &self.body {
            Body::Narrow { canonical, .. } => Commit::decode(canonical),
            Body::Wide { bare, .. } => Commit::decode(bare),
        }
    }
}

impl Place {
    fn decode(from: &mut Reader) -> Result<Self> {
        let some = |number: u32| (number != NONE).then_some(number);
        let depth = from.u32()?;
        let parents = [some(from.u32()?), some(from.u32()?)];
        Ok(Self { depth, parents, jump: from.u32()? })
    }
}

impl Delta {
    pub fn len(&self) -> u64 {
        self.added.len() + self.removed.len()
    }

    pub fn apply_to(&self, state: &mut RoaringBitmap) {
        *state -= &self.removed;
        *state |= &self.added;
    }

    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Writer::default();
        out.bytes(&bitmap_bytes(&self.added)?).bytes(&bitmap_bytes(&self.removed)?);
        Ok(out.0)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader(bytes);
        let delta = Self { added: bitmap(from.bytes()?)?, removed: bitmap(from.bytes()?)? };
        from.end()?;
        Ok(delta)
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

/// What an operation came to, kept until its client has seen it.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Kept {
        at: Time,
        applied: Applied,
    },
    /// Older than a week: no longer known, and never to be applied again.
    Expired,
}

impl Reply {
    /// The row of [`Reply::Expired`].
    pub const EXPIRED: &[u8] = &[0];

    /// The row of [`Reply::Kept`].
    pub fn encode(at: Time, applied: &Applied) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(1).time(at);
        match &applied.commit {
            None => out.u8(0),
            Some(commit) => out.u8(1).fixed(&commit.0),
        };
        out.u32(applied.outcomes.len() as u32);
        for outcome in &applied.outcomes {
            let (form, id, versions) = match outcome {
                Outcome::Stored { id, version } => (0, id, vec![version]),
                Outcome::Existing { id, version } => (1, id, vec![version]),
                Outcome::Replaced { id, before, after } => (2, id, vec![before, after]),
                Outcome::Unchanged { id, version } => (3, id, vec![version]),
                Outcome::Removed { id, version } => (4, id, vec![version]),
                Outcome::Missing { id } => (5, id, vec![]),
            };
            out.u8(form).fixed(&id.0);
            versions.iter().for_each(|version| {
                out.fixed(&version.0);
            });
        }
        out.fixed(&applied.memo);
        out.0
    }

    /// When a kept reply was given, without the rest of it.
    pub fn kept_since(bytes: &[u8]) -> Option<Time> {
        let mut from = Reader(bytes);
        (from.u8().ok()? == 1).then(|| from.time().ok()).flatten()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader(bytes);
        if from.u8()? == 0 {
            return Ok(Self::Expired);
        }
        let at = from.time()?;
        let commit = from.optional(|from| from.array().map(CommitId))?;
        let len = from.u32()?;
        let outcomes = (0..len).map(|_| outcome(&mut from)).collect::<Result<Vec<_>>>()?;
        let applied = Applied {
            commit,
            outcomes,
            counts: Default::default(),
            merged: None,
            names: Vec::new(),
            memo: from.0.to_vec(),
            is_replay: true,
        };
        Ok(Self::Kept { at, applied })
    }
}

fn outcome(from: &mut Reader) -> Result<Outcome> {
    let form = from.u8()?;
    let id = MemoryId(from.array()?);
    let mut version = || from.array().map(VersionId);
    Ok(match form {
        0 => Outcome::Stored { id, version: version()? },
        1 => Outcome::Existing { id, version: version()? },
        2 => Outcome::Replaced { id, before: version()?, after: version()? },
        3 => Outcome::Unchanged { id, version: version()? },
        4 => Outcome::Removed { id, version: version()? },
        5 => Outcome::Missing { id },
        _ => return Err(damaged("a stored reply has an unknown form")),
    })
}

/// Where a commit stands, without the rest of its row.
pub fn place_of(commits: &impl ReadableTable<u32, &'static [u8]>, number: u32) -> Result<Place> {
    match commits.get(number)? {
        Some(row) => Place::decode(&mut Reader(row.value())),
        None => Err(damaged(&format!("commit {number} is missing"))),
    }
}

/// A 16-byte prefix and a number, big-endian so that numbers of one prefix stand in order.
pub fn pair(prefix: &[u8; 16], number: u32) -> [u8; 20] {
    let mut key = [0; 20];
    key[..16].copy_from_slice(prefix);
    key[16..].copy_from_slice(&number.to_be_bytes());
    key
}

pub fn unpair(key: &[u8; 20]) -> ([u8; 16], u32) {
    let mut prefix = [0; 16];
    prefix.copy_from_slice(&key[..16]);
    (prefix, u32::from_be_bytes([key[16], key[17], key[18], key[19]]))
}

/// The numbers that stand under a prefix, in order.
pub fn numbers_of(table: &impl ReadableTable<&'static [u8; 20], ()>, prefix: &[u8; 16]) -> Result<Vec<u32>> {
    let (first, last) = (pair(prefix, 0), pair(prefix, u32::MAX));
    table.range::<&[u8; 20]>(&first..=&last)?.map(|row| Ok(unpair(row?.0.value()).1)).collect()
}

/// A name's moves stand in order of time, then of commits. No name holds a zero byte.
pub fn move_key(name: &Name, at: Time, number: u32) -> Vec<u8> {
    let mut key = [name.as_str().as_bytes(), &[0]].concat();
    key.extend_from_slice(&(at.0 as u64 ^ 1 << 63).to_be_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// When a move was made, from its key.
pub fn move_time(key: &[u8]) -> Result<Time> {
    let tail = key.len().checked_sub(12).and_then(|start| key[start..start + 8].try_into().ok());
    let bytes: [u8; 8] = tail.ok_or_else(|| damaged("a name's history cannot be read"))?;
    Ok(Time((u64::from_be_bytes(bytes) ^ 1 << 63) as i64))
}

pub fn damaged(what: &str) -> Error {
    Error::corrupt(format!("the store is damaged: {what}. Run `memoria verify`."))
}
