//! The layout of the table: rows found by a hash of their text, and their vectors in product quantisation (H. Jégou,
//! M. Douze, C. Schmid, "Product quantization for nearest neighbor search", 2011). It knows no words. Little endian:
//! header (`MEMT`, dimensions u16, width of a group u16, rows u32); where each of 4,096 buckets starts (u16, and one
//! more for the end); 24 bits of the hash of each row, in the order of the hashes; their lengths (u8); their codes, one
//! for each group (u8); the 256 centres of each group (i8).

use std::ops::Range;

const MAGIC: &[u8; 4] = b"MEMT";
const HEADER: usize = 12;
/// The first bits of a hash say which bucket, the next are compared. The texts themselves are not kept: of the words
/// that are no row, one in `2^24 / (rows in a bucket)`, some four million, is taken for one.
const BUCKET_BITS: u32 = 12;
const BUCKETS: usize = 1 << BUCKET_BITS;
const PRINT_BITS: u32 = 24;
const PRINT_BYTES: usize = 3;
const CENTRES: usize = 256;
/// Dimensions that share one code.
const WIDTH: usize = 4;

/// A table, read in place.
pub struct Table<'a> {
    buckets: &'a [u8],
    prints: &'a [u8],
    lengths: &'a [u8],
    codes: &'a [u8],
    centres: &'a [u8],
    groups: usize,
}

impl<'a> Table<'a> {
    /// `None` if the bytes are not of this layout.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, mut rest) = bytes.split_at_checked(HEADER)?;
        let number = |at: Range<usize>| header[at].iter().rev().fold(0, |all, byte| all << 8 | usize::from(*byte));
        let (groups, rows) = (number(4..6) / WIDTH, number(8..12));
        let mut take = |bytes: usize| {
            let (taken, left) = rest.split_at_checked(bytes)?;
            rest = left;
            Some(taken)
        };
        let table = Self {
            buckets: take((BUCKETS + 1) * 2)?,
            prints: take(rows * PRINT_BYTES)?,
            lengths: take(rows)?,
            codes: take(rows * groups)?,
            centres: take(groups * CENTRES * WIDTH)?,
            groups,
        };
        let is_whole = &header[..4] == MAGIC && number(6..8) == WIDTH && groups > 0 && rest.is_empty();
        (is_whole && table.bounds(BUCKETS - 1).end == rows).then_some(table)
    }

    pub fn dims(&self) -> u16 {
        (self.groups * WIDTH) as u16
    }

    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    fn bounds(&self, bucket: usize) -> Range<usize> {
        let start = |at: usize| usize::from(u16::from_le_bytes([self.buckets[2 * at], self.buckets[2 * at + 1]]));
        start(bucket)..start(bucket + 1)
    }

    /// The row of the text with this hash.
    pub fn find(&self, hash: u64) -> Option<usize> {
        let key = hash >> (u64::BITS - BUCKET_BITS - PRINT_BITS);
        let print = &key.to_le_bytes()[..PRINT_BYTES];
        self.bounds((key >> PRINT_BITS) as usize)
            .find(|row| self.prints.get(row * PRINT_BYTES..(row + 1) * PRINT_BYTES) == Some(print))
    }

    /// Adds the vector of a row, in steps that all rows share.
    pub fn add(&self, row: usize, sums: &mut [i64]) {
        let length = i32::from(self.lengths[row]);
        let codes = &self.codes[row * self.groups..(row + 1) * self.groups];
        let groups = sums.chunks_exact_mut(WIDTH).zip(self.centres.chunks_exact(CENTRES * WIDTH));
        for (code, (sums, centres)) in codes.iter().zip(groups) {
            let centre = &centres[usize::from(*code) * WIDTH..][..WIDTH];
            for (sum, byte) in sums.iter_mut().zip(centre) {
                *sum += i64::from(length * i32::from(*byte as i8));
            }
        }
    }
}
