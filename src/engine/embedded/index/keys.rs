//! The keys that versions are found by, as bytes that stand in the order of what they mean, each with a vid at its
//! end: the same in the tail, where they are sets, and in segments, where they are runs.

use super::terms::term_id;
use crate::model::{MemoryId, Time, VersionId};

/// A memory's id and the vid of one of its versions.
pub const MEMORY_BYTES: usize = 20;
/// The first eight bytes of a version's id: who looks one up compares the rest.
pub const VERSION_BYTES: usize = 12;
/// A `text_key`.
pub const TEXT_BYTES: usize = 20;
/// A session by a hash of its name, and when the memory was observed: who stands next to whom in a conversation.
pub const SESSION_BYTES: usize = 20;

fn key<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    let bytes = parts.iter().flat_map(|part| part.iter());
    key.iter_mut().zip(bytes).for_each(|(byte, from)| *byte = *from);
    key
}

pub fn memory_key(id: &MemoryId, vid: u32) -> [u8; MEMORY_BYTES] {
    key(&[&id.0, &vid.to_be_bytes()])
}

/// The memory that a key belongs to.
pub fn memory_of(key: &[u8; MEMORY_BYTES]) -> MemoryId {
    MemoryId(self::key(&[key]))
}

pub fn version_key(id: &VersionId, vid: u32) -> [u8; VERSION_BYTES] {
    key(&[&id.0[..8], &vid.to_be_bytes()])
}

pub fn text_record(text: &[u8; 16], vid: u32) -> [u8; TEXT_BYTES] {
    key(&[text, &vid.to_be_bytes()])
}

/// Times are moved so that their bytes stand in their order.
pub fn session_key(session: &str, at: Time, vid: u32) -> [u8; SESSION_BYTES] {
    let at = (at.0 as u64) ^ (1 << 63);
    key(&[&term_id(session).to_be_bytes(), &at.to_be_bytes(), &vid.to_be_bytes()])
}

/// Whether two keys are of one session.
pub fn is_one_session(a: &[u8; SESSION_BYTES], b: &[u8; SESSION_BYTES]) -> bool {
    a[..8] == b[..8]
}
