//! Whether the index says of each version what truth says: one pass over all lists sums up what is indexed
//! per version, so that a missing, a foreign and a changed posting all show, and `verify` asks version by version.

use memoria_kernel::postings::Postings;

use super::terms::{TermId, mix};
use super::{Entry, Inner};
use crate::error::Result;

/// The index's content at one moment, summed up.
pub struct Audit<'a> {
    inner: std::sync::RwLockReadGuard<'a, Inner>,
    sums: Vec<u64>,
}

/// What one posting adds to its version's sum. Sums wrap, and do not depend on the order.
fn share(term: TermId, frequency: u16) -> u64 {
    mix(term ^ u64::from(frequency).rotate_left(48))
}

impl<'a> Audit<'a> {
    pub(super) fn of(inner: std::sync::RwLockReadGuard<'a, Inner>) -> Result<Self> {
        let mut sums = vec![0u64; inner.columns.next_vid() as usize];
        inner.for_each_list(|term, bytes| {
            for (vid, frequency) in Postings::new(bytes) {
                if let Some(sum) = sums.get_mut(vid as usize) {
                    *sum = sum.wrapping_add(share(term, frequency));
                }
            }
        })?;
        Ok(Self { inner, sums })
    }

    /// Whether keys, words, length and columns of a version are what `entry` makes them.
    pub fn agrees(&self, vid: u32, entry: &Entry) -> bool {
        let sum = self.sums.get(vid as usize).copied();
        let Entry::Whole { memory, words, .. } = entry else {
            return sum == Some(0) && self.inner.columns.is_gap(vid) && self.inner.keys.describe(vid, entry);
        };
        let expected = words.frequencies.iter().fold(0u64, |sum, (term, n)| sum.wrapping_add(share(*term, *n)));
        sum == Some(expected)
            && self.inner.columns.describe(vid, memory, words.len)
            && self.inner.keys.describe(vid, entry)
    }
}
