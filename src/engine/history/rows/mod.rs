//! The bytes of what is stored of versions, commits, names, replies, feedback and merges in progress, whatever stores
//! them. It knows bytes only: which rows there are is an engine's.

mod commit;
mod feedback;
mod name;
mod reply;
mod version;

use roaring::RoaringBitmap;

use crate::error::{Error, Result};

pub use commit::{Body, CommitRow, Delta, Place};
pub use feedback::{feedback, feedback_bytes};
pub use name::{Event, Move, Standing};
pub use reply::{Reply, pending, pending_bytes};
pub use version::{VersionRow, text_key};

/// A commit of more changes is wide: it has no row per memory, and keeps its delta as two bitmaps.
pub const NARROW_CHANGES_MAX: usize = 1_000;
/// A state is at most this many changes from a keyframe.
pub const KEYFRAME_CHANGES: u32 = 1_000;

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

/// What to say of a row that is not what it ought to be.
pub fn damaged(what: &str) -> Error {
    Error::corrupt(format!("the store is damaged: {what}. Run `memoria verify`."))
}
