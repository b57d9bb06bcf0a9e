//! What is no answer: a question about nothing that the store knows gets nothing, and what is far behind the best hit
//! is left away.

use super::evidence::{Evidence, Words};
use super::rank::Judged;
use crate::model::{Calibration, Candidate};

/// What of the store's own likeness the best memory must reach. Memories of one long talk are alike, and what nobody
/// there spoke of still reaches a good cosine: with 0, a bar that keeps a talk quiet also silences half of all
/// paraphrases in a store of mixed notes; with .5 a quarter of them, with .8 none.
const LIKENESS_SHARE: f32 = 0.8;
/// What all words of the question, found in the best memory or beside it, are worth in cosine.
const WORDS_SHARE: f32 = 0.35;
/// The bar, by how far the model holds answers (`ceiling`) and strangers (`floor`) apart: .07 for MiniLM, .125 for the
/// built-in table. Questions of one LoCoMo conversation asked in another's store that get nothing, with their names and
/// without, and recall@10 lost by those asked in their own: MiniLM .84, .79 and .004; built in .80, .69 and .008.
const BAR: f32 = 0.245;
const BAR_PER_SEPARATION: f32 = 0.56;
const BAR_MIN: f32 = 0.03;
/// A memory that has so much of the question's words answers it, whatever its vector says.
const WORDS_ENOUGH: f32 = 0.8;
/// Without vectors, that much of the question's words must be found together. Of the same questions .62 and .51 get
/// nothing, of unrelated ones .90.
const WORDS_ALONE: f32 = 0.16;

/// A hit below this share of the best one is noise beside it; the more are wanted, the more may be there: half of the
/// best one's score for the fourth, a sixth of it for the tenth. Who asks for three wants what answers, who asks for
/// ten wants what may matter: Memoria's core scenarios (3 to 5 wanted) reach 82 with 2/k, 87 with this; paraphrases
/// (10 wanted) .92 with a sixth, .84 with a quarter.
const FLOOR_MAX: f32 = 0.7;
const FLOOR_AT_TWO: f32 = 1.5;
/// The less the best hit's words answer, the less sure it is, and the more may stay beside it.
const FLOOR_PER_SHARE: f32 = 4.0;

/// So far below the floor does a state's likeness mean that its memories are notes, each for itself, and no talk.
const TALK_SPAN: f32 = 0.05;
/// Among fewer candidates everything stands around something: what says nothing of its own is no hit there.
pub(super) const TALK_MIN: usize = 24;

/// 0 to 1: how far what stands around a memory in its session speaks for it. In a talk it does (LoCoMo's likeness is
/// .50 with MiniLM, .36 with the built-in table); notes that were merely written in one session are .19 and .11 alike,
/// and their neighbours cost paraphrases .12 of hit@10.
pub(super) fn talk(calibration: Option<Calibration>, likeness: Option<f32>) -> f32 {
    calibration
        .zip(likeness)
        .map_or(1.0, |(calibration, likeness)| ((likeness - calibration.floor + TALK_SPAN) / TALK_SPAN).clamp(0.0, 1.0))
}

/// Whether anything of all that came into question answers it. `best` is the most relevant.
pub(super) fn is_answered(
    words: &Words,
    calibration: Option<Calibration>,
    likeness: Option<f32>,
    all: &[Judged],
    best: &Judged,
) -> bool {
    let found_together = |judged: &Judged| {
        let near = judged.candidate.around.iter().map(|(_, near)| near);
        words.coverage(near.chain([&judged.candidate.words]))
    };
    let together = found_together(best);
    let one = all.iter().map(|one| words.coverage([&one.candidate.words].into_iter())).fold(0.0, f32::max);
    if one >= WORDS_ENOUGH {
        return true;
    }
    let nearest = all.iter().filter_map(|one| one.candidate.words.cosine).reduce(f32::max);
    let (Some(calibration), Some(nearest)) = (calibration, nearest) else {
        return together >= WORDS_ALONE;
    };
    // What was stored a moment ago has no vector yet: those of others say nothing about it.
    let is_without = |one: &&Judged| one.candidate.words.cosine.is_none();
    if all.iter().filter(is_without).any(|one| found_together(one) >= WORDS_ALONE) {
        return true;
    }
    let above = |cosine: f32| (cosine - calibration.floor) / (1.0 - calibration.floor).max(f32::MIN_POSITIVE);
    let bar = (BAR - BAR_PER_SEPARATION * above(calibration.ceiling)).max(BAR_MIN);
    let likeness = likeness.map_or(0.0, above);
    above(nearest) - LIKENESS_SHARE * likeness + WORDS_SHARE * together >= bar
}

/// The mean cosine between two of the candidates: how alike the memories of this state are that come into question.
/// `None` with fewer than two vectors.
pub(super) fn likeness(found: &[Candidate]) -> Option<f32> {
    let vectors: Vec<&[i8]> = found.iter().map(|one| &one.vector[..]).filter(|vector| !vector.is_empty()).collect();
    let n = vectors.len() as f32;
    let dims = vectors.first()?.len();
    // The sum of all pairs' products is the square of the sum, less each vector with itself.
    let (mut sum, mut own) = (vec![0f32; dims], 0f32);
    for vector in vectors.iter().filter(|vector| vector.len() == dims) {
        let norm = length(vector);
        if norm > 0.0 {
            sum.iter_mut().zip(*vector).for_each(|(sum, x)| *sum += f32::from(*x) / norm);
            own += 1.0;
        }
    }
    (n > 1.0).then(|| (sum.iter().map(|x| x * x).sum::<f32>() - own) / (n * (n - 1.0)))
}

fn length(vector: &[i8]) -> f32 {
    (vector.iter().map(|x| i32::from(*x).pow(2)).sum::<i32>() as f32).sqrt()
}

/// What a hit must reach, given the best one's relevance and evidence and how many hits are wanted.
pub(super) fn floor(relevance: f32, best: Evidence, top_k: usize) -> f32 {
    let share = FLOOR_AT_TWO / top_k.saturating_sub(1).max(1) as f32;
    relevance * share.min(FLOOR_MAX).min(FLOOR_PER_SHARE * best.lexical)
}
