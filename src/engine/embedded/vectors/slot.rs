//! The bytes of one version's vector: codes, scale, which version it is of, and a check over all that and the place
//! where it stands. A slot is believed only as a whole, so that no order of writes matters: what is torn, damaged or
//! zeros is a vector that is not there yet.

use memoria_kernel::checksum::{checksum, mix};

use crate::model::VersionId;

/// Of a version's id.
pub const TAG_BYTES: usize = 4;
const SCALE_BYTES: usize = 4;
const CHECK_BYTES: usize = 4;

/// How long a slot is.
pub const fn slot_bytes(dims: usize) -> usize {
    dims + SCALE_BYTES + TAG_BYTES + CHECK_BYTES
}

/// What a version's slot is recognised by.
pub fn tag(version: &VersionId) -> [u8; TAG_BYTES] {
    let [a, b, c, d, ..] = version.0;
    [a, b, c, d]
}

/// A slot that is whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot<'a> {
    pub codes: &'a [i8],
    /// What makes it one of unit length; 0 where the model has no opinion.
    pub scale: f32,
    pub tag: [u8; TAG_BYTES],
}

impl<'a> Slot<'a> {
    /// Appends the slot as it stands at `vid`.
    pub fn encode(&self, vid: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(self.codes.iter().map(|code| code.cast_unsigned()));
        out.extend_from_slice(&self.scale.to_le_bytes());
        out.extend_from_slice(&self.tag);
        let check = check(&out[start..], vid);
        out.extend_from_slice(&check.to_le_bytes());
    }

    /// `None` for what is not whole, or stood elsewhere.
    pub fn decode(bytes: &'a [u8], vid: u32) -> Option<Self> {
        let (body, stored) = bytes.split_last_chunk::<CHECK_BYTES>()?;
        if u32::from_le_bytes(*stored) != check(body, vid) {
            return None;
        }
        let (body, tag) = body.split_last_chunk::<TAG_BYTES>()?;
        let (codes, scale) = body.split_last_chunk::<SCALE_BYTES>()?;
        Some(Self { codes: memoria_kernel::dots::signed(codes), scale: f32::from_le_bytes(*scale), tag: *tag })
    }
}

/// Never 0, which is what an empty slot has.
fn check(body: &[u8], vid: u32) -> u32 {
    mix(checksum(body) ^ u64::from(vid)) as u32 | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_believed_as_a_whole_and_in_its_place_only() {
        let codes = [1i8, -127, 0, 55, 9];
        let slot = Slot { codes: &codes, scale: 0.25, tag: [1, 2, 3, 4] };
        let mut bytes = Vec::new();
        slot.encode(7, &mut bytes);
        assert_eq!(bytes.len(), slot_bytes(codes.len()));
        assert_eq!(Slot::decode(&bytes, 7), Some(slot));
        assert_eq!(Slot::decode(&bytes, 8), None);
        assert_eq!(Slot::decode(&vec![0; bytes.len()], 7), None);
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Slot::decode(&other, 7), None, "bit {bit}");
        }
    }
}
