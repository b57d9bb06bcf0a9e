//! Vectors in memory while questions come: those of the states that were asked about, whole, by vid. They are read
//! from the slots when they are first asked for, and let go when the store rests.

use memoria_kernel::dots::dots;
use memoria_kernel::quantise::cosine;
use roaring::RoaringBitmap;

use super::asking::Exact;
use super::slot::Slot;

/// Rows whose products are worked out at once.
const BLOCK_ROWS: usize = 256;

/// Vectors in rising order of vid.
#[derive(Default)]
pub struct Rows {
    set: RoaringBitmap,
    vids: Vec<u32>,
    scales: Vec<f32>,
    codes: Vec<i8>,
}

impl Rows {
    pub fn set(&self) -> &RoaringBitmap {
        &self.set
    }

    pub fn len(&self) -> usize {
        self.vids.len()
    }

    /// One past the last.
    pub fn next(&self) -> u32 {
        self.vids.last().map_or(0, |last| last + 1)
    }

    /// Appends a vector that comes after all others.
    pub fn push(&mut self, vid: u32, slot: &Slot) {
        self.set.insert(vid);
        self.vids.push(vid);
        self.scales.push(slot.scale);
        self.codes.extend_from_slice(slot.codes);
    }

    /// The cosine of the question with each of these vectors that has one, in rising order of vid.
    pub fn cosines(&self, question: (&[i8], f32), of: &RoaringBitmap) -> Exact {
        let (codes, scale) = question;
        let room = of.len() as usize;
        let mut found = Exact { vids: Vec::with_capacity(room), cosines: Vec::with_capacity(room) };
        let mut wanted = of.iter().peekable();
        let (mut products, mut at) = ([0; BLOCK_ROWS], 0);
        for rows in self.codes.chunks(BLOCK_ROWS * codes.len()) {
            let count = rows.len() / codes.len();
            dots(codes, rows, &mut products[..count]);
            for (product, at) in products[..count].iter().zip(at..) {
                let vid = self.vids[at];
                while wanted.next_if(|wanted| *wanted < vid).is_some() {}
                if wanted.next_if_eq(&vid).is_some() && self.scales[at] != 0.0 {
                    found.vids.push(vid);
                    found.cosines.push(cosine(*product, scale, self.scales[at]));
                }
            }
            at += count;
        }
        found
    }
}
