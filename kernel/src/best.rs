//! The best of many scores.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A score and who has it, ordered by score, then smallest place first.
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

/// The best by their places.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Best {
    /// Better than the last one that there is room for, with their scores: best first, ties by place.
    pub sure: Vec<(u32, f32)>,
    /// As good as the last one, in rising order of place: there may be more of them than room is left.
    pub tied: Vec<u32>,
}

/// The `limit` best above `floor` that are wanted.
pub fn best(scores: &[f32], floor: f32, limit: usize, is_wanted: &dyn Fn(u32) -> bool) -> Best {
    if limit == 0 {
        return Best::default();
    }
    let mut heap: BinaryHeap<Reverse<Scored>> = BinaryHeap::with_capacity(limit.min(scores.len()) + 1);
    // Whether somebody was left out who is as good as the bar.
    let (mut bar, mut is_tied) = (floor, false);
    for (place, score) in scores.iter().enumerate() {
        if *score < bar || *score <= floor || !is_wanted(place as u32) {
            continue;
        }
        if heap.len() == limit && *score == bar {
            is_tied = true;
            continue;
        }
        heap.push(Reverse(Scored(*score, Reverse(place as u32))));
        let out = if heap.len() > limit { heap.pop() } else { None };
        if heap.len() == limit {
            bar = heap.peek().map_or(floor, |worst| worst.0.0);
        }
        if let Some(Reverse(Scored(out, _))) = out {
            is_tied = out == bar;
        }
    }
    let sorted = heap.into_sorted_vec();
    let edge = sorted.partition_point(|Reverse(Scored(score, _))| !is_tied || *score > bar);
    let scored = |Reverse(Scored(score, Reverse(place)))| (place, score);
    let mut sure: Vec<(u32, f32)> = sorted.into_iter().map(scored).collect();
    sure.truncate(edge);
    let all_tied = || scores.iter().enumerate().filter(|(_, score)| **score == bar).map(|(place, _)| place as u32);
    let tied = if is_tied { all_tied().filter(|place| is_wanted(*place)).collect() } else { Vec::new() };
    Best { sure, tied }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_best_are_those_of_a_sorted_list(
            scores in prop::collection::vec(-3i8..6, 0..200),
            limit in 0usize..30,
            floor in -4i8..3,
            unwanted in 0u32..5,
        ) {
            let scores: Vec<f32> = scores.into_iter().map(f32::from).collect();
            let is_wanted = |place: u32| place % 5 != unwanted;
            let found = best(&scores, f32::from(floor), limit, &is_wanted);
            let mut sorted: Vec<u32> = (0..scores.len() as u32)
                .filter(|place| is_wanted(*place) && scores[*place as usize] > f32::from(floor)).collect();
            sorted.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]));
            let room = limit.min(sorted.len());
            let of_these: Vec<u32> = found.sure.iter().map(|(place, _)| *place).chain(found.tied.iter().copied()).collect();
            prop_assert!(found.sure.iter().all(|(place, score)| scores[*place as usize] == *score));
            prop_assert_eq!(&of_these[..], &sorted[..of_these.len()]);
            prop_assert!(of_these.len() >= room && found.sure.len() <= room);
            prop_assert!(found.tied.is_empty() || of_these.len() > room);
            let next = sorted.get(of_these.len()).filter(|_| room > 0).map(|next| scores[*next as usize]);
            prop_assert!(next.is_none_or(|next| next < scores[sorted[room - 1] as usize]));
        }
    }
}
