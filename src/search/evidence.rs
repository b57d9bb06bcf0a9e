//! What words and vectors say for a memory, each on a scale of its own that means the same for every question, store
//! and model. It scores; it neither orders nor cuts.

use crate::lexical::{bm25, words};
use crate::model::{Calibration, Candidates, Cosines, Match, Term};

/// Two neighbouring characters of an unspaced script that no memory has are seldom a word: they count this much of
/// what an unknown word does.
const UNKNOWN_PAIR_SHARE: f32 = 0.3;
/// Below this many deviations above the state's mean, a cosine says nothing: recall@10 on LoCoMo is .759 from 0 on,
/// .776 from 1 on, for the same hits on paraphrases.
const DEVIATIONS_MIN: f32 = 1.0;
/// So many deviations more are full evidence. With 8, 10, 12 and 14: LoCoMo .765, .776, .776, .778, paraphrases .92,
/// .92, .92, .88 (MiniLM); LoCoMo .726, .738, .744, .745, paraphrases .64, .64, .64, .60 (built in).
const DEVIATIONS_FULL: f32 = 10.0;
/// A state's cosines count as so many memories' less than they are: a handful says little about its mean.
const PRIOR_COUNT: f32 = 15.0;
/// Deviation of the cosines of unrelated texts, as a share of what lies between a model's floor and 1.
const PRIOR_DEVIATION: f32 = 0.1;
/// From the mean to the 95th percentile, in deviations of a normal distribution.
const TO_FLOOR: f32 = 1.645;

/// What a question's words are worth in a state.
pub(super) struct Words {
    idfs: Vec<f32>,
    average_len: f32,
    /// The BM25 score that nothing can exceed.
    best: f32,
}

impl Words {
    pub(super) fn of(question: &[Term], candidates: &Candidates) -> Self {
        let idf = |(term, df): (&Term, &u32)| {
            let is_unknown_pair = *df == 0 && term.text.chars().next().is_some_and(words::is_unspaced);
            let share = if is_unknown_pair { UNKNOWN_PAIR_SHARE } else { 1.0 };
            bm25::idf(candidates.live, *df) * term.weight * share
        };
        let idfs: Vec<f32> = question.iter().zip(&candidates.document_frequencies).map(idf).collect();
        let best = idfs.iter().map(|idf| bm25::best(*idf)).sum::<f32>().max(f32::MIN_POSITIVE);
        Self { idfs, average_len: candidates.tokens as f32 / candidates.live.max(1) as f32, best }
    }

    /// The share of the question that each term of a match answers: BM25 divided by what BM25 can reach at most.
    pub(super) fn shares<'a>(&'a self, found: &'a Match) -> impl Iterator<Item = f32> + 'a {
        let norm = bm25::norm(found.len, self.average_len);
        self.idfs.iter().zip(&found.frequencies).map(move |(idf, n)| bm25::weight(*idf, *n, norm) / self.best)
    }

    /// The share of the question's words, by their worth, that some of the matches have, however often.
    pub(super) fn coverage<'a>(&self, found: impl Iterator<Item = &'a Match> + Clone) -> f32 {
        let has = |at: usize| found.clone().any(|words| words.frequencies.get(at).is_some_and(|n| *n > 0));
        let covered: f32 = self.idfs.iter().enumerate().filter(|(at, _)| has(*at)).map(|(_, idf)| idf).sum();
        covered / self.idfs.iter().sum::<f32>().max(f32::MIN_POSITIVE)
    }
}

/// How a cosine with the question is read in a state.
pub(super) struct Scale {
    mean: f32,
    deviation: f32,
}

impl Scale {
    /// The state's own cosines, together with a few of unrelated texts that the model is known for: those of three
    /// memories have no deviation worth the name.
    pub(super) fn of(calibration: Calibration, cosines: Cosines) -> Self {
        let deviation = PRIOR_DEVIATION * (1.0 - calibration.floor).max(0.0);
        let mean = calibration.floor - TO_FLOOR * deviation;
        let (n, k) = (cosines.count as f32, PRIOR_COUNT);
        let between = n * k / (n + k) * (cosines.mean - mean).powi(2);
        let variance = (n * cosines.deviation.powi(2) + k * deviation.powi(2) + between) / (n + k);
        Self { mean: (n * cosines.mean + k * mean) / (n + k), deviation: variance.sqrt().max(f32::MIN_POSITIVE) }
    }

    /// 0 to 1: how far the cosine stands out.
    fn evidence(&self, cosine: f32) -> f32 {
        (((cosine - self.mean) / self.deviation - DEVIATIONS_MIN) / DEVIATIONS_FULL).clamp(0.0, 1.0)
    }
}

/// What a memory's own words and vector say for it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Evidence {
    /// Share of the question that its words answer.
    pub lexical: f32,
    /// How far its vector stands out.
    pub vector: f32,
}

impl Evidence {
    /// Whether anything of its own speaks for it.
    pub(super) fn is_any(&self) -> bool {
        self.lexical > 0.0 || self.vector > 0.0
    }

    pub(super) fn of(words: &Words, scale: Option<&Scale>, found: &Match) -> Self {
        let vector = scale.zip(found.cosine).map_or(0.0, |(scale, cosine)| scale.evidence(cosine));
        Self { lexical: words.shares(found).sum(), vector }
    }
}
