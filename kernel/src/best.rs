//! The best of many scores.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A score and who has it, ordered by score, then smallest vid first.
#[derive(PartialEq)]
struct Scored(f32, Reverse<u32>);

impl Eq for Scored {}
impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scored {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

/// The `limit` best above 0 that are wanted, best first, ties by vid.
pub fn best(scores: &[f32], limit: usize, is_wanted: &dyn Fn(u32) -> bool) -> Vec<u32> {
    let mut heap: BinaryHeap<Reverse<Scored>> = BinaryHeap::with_capacity(limit.min(scores.len()) + 1);
    let mut bar = 0.0;
    for (vid, score) in scores.iter().enumerate() {
        // Vids come in rising order, so that of two equal scores the earlier one stays.
        if *score > bar && is_wanted(vid as u32) {
            heap.push(Reverse(Scored(*score, Reverse(vid as u32))));
            if heap.len() > limit {
                heap.pop();
            }
            if heap.len() == limit {
                bar = heap.peek().map_or(0.0, |worst| worst.0.0);
            }
        }
    }
    heap.into_sorted_vec().into_iter().map(|Reverse(Scored(_, Reverse(vid)))| vid).collect()
}
