//! What a ranked answer is worth, as retrieval is measured everywhere: hit@k, recall@k, nDCG@10, MRR, and the
//! percentiles of what was timed. Pure: it knows no memories and no daemon.

/// Where hits are looked for, and where recall is.
pub const HIT_AT: [usize; 3] = [1, 5, 10];
pub const RECALL_AT: [usize; 3] = [5, 10, 20];
const NDCG_AT: usize = 10;

/// One answer against what was wanted: whether each hit, best first, is one of the `wanted` relevant memories.
/// No memory is in an answer twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub is_relevant: Vec<bool>,
    /// At least 1.
    pub wanted: usize,
}

impl Judged {
    fn relevant_within(&self, k: usize) -> usize {
        self.is_relevant.iter().take(k).filter(|is| **is).count()
    }

    pub fn hit(&self, k: usize) -> f64 {
        if self.relevant_within(k) > 0 { 1.0 } else { 0.0 }
    }

    /// Share of the relevant memories that are among the first `k`.
    pub fn recall(&self, k: usize) -> f64 {
        self.relevant_within(k) as f64 / self.wanted.max(1) as f64
    }

    /// Discounted gain over that of the best order, each relevant memory worth 1 (Järvelin and Kekäläinen, 2002).
    pub fn ndcg_10(&self) -> f64 {
        let gain = |place: usize| 1.0 / (place as f64 + 2.0).log2();
        let is = self.is_relevant.iter().take(NDCG_AT).enumerate().filter(|(_, is)| **is);
        let best: f64 = (0..self.wanted.clamp(1, NDCG_AT)).map(gain).sum();
        is.map(|(place, _)| gain(place)).sum::<f64>() / best
    }

    /// One over the place of the first relevant hit, 0 without one.
    pub fn reciprocal_rank(&self) -> f64 {
        self.is_relevant.iter().position(|is| *is).map_or(0.0, |place| 1.0 / (place as f64 + 1.0))
    }
}

/// Means over questions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Means {
    pub questions: usize,
    pub hit: [f64; 3],
    pub recall: [f64; 3],
    pub ndcg_10: f64,
    pub mrr: f64,
}

impl Means {
    pub fn of<'a>(answers: impl IntoIterator<Item = &'a Judged>) -> Self {
        let mut means = Self::default();
        for judged in answers {
            means.questions += 1;
            for (sum, k) in means.hit.iter_mut().zip(HIT_AT) {
                *sum += judged.hit(k);
            }
            for (sum, k) in means.recall.iter_mut().zip(RECALL_AT) {
                *sum += judged.recall(k);
            }
            means.ndcg_10 += judged.ndcg_10();
            means.mrr += judged.reciprocal_rank();
        }
        let count = means.questions.max(1) as f64;
        let all = means.hit.iter_mut().chain(&mut means.recall);
        all.chain([&mut means.ndcg_10, &mut means.mrr]).for_each(|sum| *sum /= count);
        means
    }
}

/// The value that `share` of all do not exceed (nearest rank); `None` of nothing.
pub fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

pub fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.into_iter().fold((0u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judged(places: &[usize], len: usize, wanted: usize) -> Judged {
        Judged { is_relevant: (1..=len).map(|place| places.contains(&place)).collect(), wanted }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn figures_are_those_computed_by_hand() {
        // Relevant at the places 2 and 7 of ten hits, and a third one that was not found.
        let some = judged(&[2, 7], 10, 3);
        assert_eq!([some.hit(1), some.hit(5), some.hit(10)], [0.0, 1.0, 1.0]);
        assert!(
            close(some.recall(5), 1.0 / 3.0) && close(some.recall(10), 2.0 / 3.0) && close(some.recall(20), 2.0 / 3.0)
        );
        assert!(close(some.reciprocal_rank(), 0.5));
        // (1/log2 3 + 1/log2 8) / (1 + 1/log2 3 + 1/2)
        assert!((some.ndcg_10() - 0.964_263 / 2.130_930).abs() < 1e-6, "{}", some.ndcg_10());
        let nothing = judged(&[], 0, 2);
        assert_eq!([nothing.hit(10), nothing.recall(20), nothing.ndcg_10(), nothing.reciprocal_rank()], [0.0; 4]);
    }

    #[test]
    fn means_are_over_questions_and_not_over_memories() {
        let means = Means::of(&[judged(&[1], 1, 1), judged(&[], 3, 9)]);
        assert_eq!((means.questions, means.hit, means.recall), (2, [0.5; 3], [0.5; 3]));
        assert_eq!((means.ndcg_10, means.mrr), (0.5, 0.5));
        assert_eq!(Means::of(&[]), Means::default());
    }

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!((percentile(&values, 0.5), percentile(&values, 0.99)), (Some(100.0), Some(198.0)));
        assert_eq!(
            (percentile(&[7.0], 0.5), percentile(&[7.0], 0.99), percentile(&[], 0.5)),
            (Some(7.0), Some(7.0), None)
        );
    }

    proptest! {
        #[test]
        fn every_figure_is_a_share(is_relevant in prop::collection::vec(any::<bool>(), 0..40), missing in 0usize..9) {
            let found = is_relevant.iter().filter(|is| **is).count();
            let judged = Judged { is_relevant, wanted: (found + missing).max(1) };
            let all = [judged.hit(5), judged.recall(5), judged.recall(20), judged.ndcg_10(), judged.reciprocal_rank()];
            prop_assert!(all.iter().all(|share| (0.0..=1.0 + 1e-12).contains(share)), "{all:?}");
            prop_assert!(judged.recall(5) <= judged.recall(10) && judged.recall(10) <= judged.recall(20));
            prop_assert!(judged.hit(1) <= judged.hit(5) && judged.reciprocal_rank() >= judged.hit(1));
        }

        #[test]
        fn the_best_order_has_everything(wanted in 1usize..30, noise in 0usize..30) {
            let best = Judged { is_relevant: (0..wanted + noise).map(|place| place < wanted).collect(), wanted };
            prop_assert!(close(best.ndcg_10(), 1.0) && close(best.reciprocal_rank(), 1.0));
            prop_assert!(close(best.recall(20), (wanted.min(20) as f64) / wanted as f64));
        }

        #[test]
        fn lifting_a_relevant_hit_lowers_nothing(
            mut is_relevant in prop::collection::vec(any::<bool>(), 2..30),
            at in 0usize..28,
        ) {
            let at = at % (is_relevant.len() - 1);
            prop_assume!(!is_relevant[at] && is_relevant[at + 1]);
            let wanted = is_relevant.iter().filter(|is| **is).count();
            let before = Judged { is_relevant: is_relevant.clone(), wanted };
            is_relevant.swap(at, at + 1);
            let after = Judged { is_relevant, wanted };
            prop_assert!(after.ndcg_10() >= before.ndcg_10() && after.reciprocal_rank() >= before.reciprocal_rank());
            prop_assert!(after.recall(5) >= before.recall(5));
        }
    }
}
