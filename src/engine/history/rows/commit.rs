//! The rows of commits: canonical bytes, what they change by local numbers, and where they stand in history.
//! It knows bytes; which commits there are is the writer's.

use roaring::RoaringBitmap;

use super::{bitmap, bitmap_bytes, damaged};
use crate::error::Result;
use crate::model::canon::{Reader, Writer};
use crate::model::{Commit, CommitId};

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
    /// The canonical bytes without `added` and `removed`, which are stored beside it; and the id, which needs both.
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

    /// What it changes; of a wide one, what `wide` reads.
    pub fn delta(&self, wide: impl FnOnce() -> Result<Delta>) -> Result<Delta> {
        match &self.body {
            Body::Narrow { delta, .. } => Ok(delta.clone()),
            Body::Wide { .. } => wide(),
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
    /// The beginning of a commit's row.
    pub fn decode(from: &mut Reader) -> Result<Self> {
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
