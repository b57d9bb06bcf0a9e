//! Scores and order. A memory's relevance is the share of the question that it answers: BM25 divided by what BM25
//! can reach at most for this question, so that one number means the same for every question and store.
//! Priors multiply it within narrow bounds: they settle near-ties and never lift the irrelevant.

use crate::lexical::{analyse, bm25};
use crate::model::{Candidate, Candidates, Match, MemoryId, Parts, ProjectId, SessionId, Term, Time, Trust, Version};

/// What the answer shall be.
#[derive(Clone, Debug)]
pub struct Ranking {
    pub top_k: usize,
    /// Budget for the texts, in tokens (`tokens_of`); 0 is none.
    pub max_tokens: u32,
    /// The share of the question that a memory must answer.
    pub min_score: f32,
    /// Its memories come before equally good global ones.
    pub project: Option<ProjectId>,
    /// Its memories come before equally good ones of other sessions.
    pub session: Option<SessionId>,
    /// When ages are judged.
    pub now: Time,
}

/// An answer, best first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranked {
    pub hits: Vec<RankedHit>,
    /// Relevant memories that `top_k`, `max_tokens` or a twin in the answer kept out.
    pub left_out: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RankedHit {
    pub version: Version,
    /// 0 to 1: the share of the question that the memory answers, with the priors.
    pub score: f32,
    pub parts: Parts,
}

/// What a neighbour's own score adds to a memory's, by distance 1 and 2: talk about one thing stays together in a
/// conversation. Recall@10 on LoCoMo is .616 without, .684 with two thirds of these shares, .696 with these and
/// .696 with a third more, which finds more for unrelated questions.
const NEIGHBOUR_SHARES: [f32; 2] = [0.3, 0.15];
/// The priors' reach: none of them moves a score by more than this.
const TRUST_REACH: f32 = 0.05;
const AGE_REACH: f32 = 0.05;
const PLACE_REACH: f32 = 0.05;
/// A memory that has only one word of a question of three or more must answer this much more than `min_score`:
/// one shared word is the mark of an unrelated question. Of 40 such questions on LoCoMo's first 1,000 turns, 36
/// find nothing instead of 27, for a hit@10 of .729 instead of .734.
const ONE_WORD_FACTOR: f32 = 1.5;
/// A hit below this share of the best one is noise beside it. Recall@10 on LoCoMo is .696 with 0.2 and with 0.3,
/// .689 with 0.4, .674 with 0.5.
const FLOOR_OF_BEST: f32 = 0.3;
/// Word sets at least this equal are near-duplicates: the later one is put behind, since it adds little.
const TWIN_SHARE: f32 = 0.8;
const TWIN_PENALTY: f32 = 0.7;

const DAY_MS: f32 = 86_400_000.0;

/// Scores, orders and cuts what an engine found.
pub fn rank(question: &[Term], candidates: Candidates, ask: &Ranking) -> Ranked {
    let measure = Measure::of(question, &candidates);
    let mut hits: Vec<Judged> = candidates.found.into_iter().map(|candidate| judge(&measure, candidate, ask)).collect();
    let relevance = |judged: &Judged| judged.hit.parts.lexical + judged.hit.parts.neighbours;
    let floor = hits.iter().map(relevance).fold(0.0, f32::max) * FLOOR_OF_BEST;
    let least = |judged: &Judged| match judged.words.frequencies.iter().filter(|n| **n > 0).count() {
        1 if question.len() >= 3 => ask.min_score * ONE_WORD_FACTOR,
        _ => ask.min_score,
    };
    hits.retain(|judged| relevance(judged) >= floor.max(least(judged)));
    hits.sort_by(|a, b| b.hit.score.total_cmp(&a.hit.score).then(a.id().cmp(&b.id())));
    let terms_of = |words: &Match| {
        let shares = question.iter().zip(measure.shares(words)).filter(|(_, share)| *share > 0.0);
        shares.map(|(term, share)| (term.text.clone(), share)).collect()
    };
    choose(hits, ask, terms_of)
}

/// A hit that may still be left out, with the words that its explanation is made of.
struct Judged {
    hit: RankedHit,
    words: Match,
}

impl Judged {
    fn id(&self) -> MemoryId {
        self.hit.version.memory.id
    }
}

/// What one occurrence of each term is worth for this question in this state.
struct Measure {
    idfs: Vec<f32>,
    average_len: f32,
    /// The BM25 score that nothing can exceed.
    best: f32,
}

impl Measure {
    fn of(question: &[Term], candidates: &Candidates) -> Self {
        let live = candidates.live;
        let idf = |(term, df): (&Term, &u32)| bm25::idf(live, *df) * term.weight;
        let idfs: Vec<f32> = question.iter().zip(&candidates.document_frequencies).map(idf).collect();
        let best = idfs.iter().map(|idf| bm25::best(*idf)).sum::<f32>().max(f32::MIN_POSITIVE);
        Self { idfs, average_len: candidates.tokens as f32 / live.max(1) as f32, best }
    }

    /// The share of the question that each term of a match answers.
    fn shares<'a>(&'a self, words: &'a Match) -> impl Iterator<Item = f32> + 'a {
        let norm = bm25::norm(words.len, self.average_len);
        self.idfs.iter().zip(&words.frequencies).map(move |(idf, n)| bm25::weight(*idf, *n, norm) / self.best)
    }
}

fn judge(measure: &Measure, candidate: Candidate, ask: &Ranking) -> Judged {
    let memory = &candidate.version.memory;
    let neighbour = |(distance, words): &(i8, Match)| {
        let share = NEIGHBOUR_SHARES.get(usize::from(distance.unsigned_abs()).wrapping_sub(1)).unwrap_or(&0.0);
        share * measure.shares(words).sum::<f32>()
    };
    let is_of = |ask: bool| if ask { 1.0 + PLACE_REACH } else { 1.0 };
    let parts = Parts {
        lexical: measure.shares(&candidate.words).sum(),
        neighbours: candidate.around.iter().map(neighbour).sum(),
        trust: around_one(memory.confidence.as_fraction(), TRUST_REACH),
        age: if memory.pinned {
            1.0 + AGE_REACH
        } else {
            around_one(freshness(memory.trust, ask.now.since(memory.observed_at)), AGE_REACH)
        },
        place: is_of(memory.project.is_some() && memory.project == ask.project)
            * is_of(memory.session.is_some() && memory.session == ask.session),
        terms: Vec::new(),
    };
    let score = (parts.lexical + parts.neighbours) * parts.trust * parts.age * parts.place;
    Judged { hit: RankedHit { version: candidate.version, score: score.min(1.0), parts }, words: candidate.words }
}

/// A fraction to a factor from `1 - reach` to `1 + reach`.
fn around_one(fraction: f32, reach: f32) -> f32 {
    1.0 + reach * (2.0 * fraction.clamp(0.0, 1.0) - 1.0)
}

/// What remains of a memory's confidence: half of it after the half-life of its tier (the existing Memoria's
/// periods, there as e-folding times).
fn freshness(trust: Trust, age_ms: i64) -> f32 {
    let half_life_days = match trust {
        Trust::T1 => 365.0,
        Trust::T2 => 180.0,
        Trust::T3 => 60.0,
        Trust::T4 => 30.0,
    };
    (-(age_ms.max(0) as f32) / DAY_MS / half_life_days).exp2()
}

/// Takes hits from the best downwards, near-duplicates of those taken after the others, within count and budget.
fn choose(hits: Vec<Judged>, ask: &Ranking, terms_of: impl Fn(&Match) -> Vec<(String, f32)>) -> Ranked {
    let mut ranked = Ranked::default();
    let mut taken: Vec<Vec<String>> = Vec::new();
    let mut budget = if ask.max_tokens == 0 { u32::MAX } else { ask.max_tokens };
    let mut waiting: Vec<Judged> = Vec::new();
    let mut hits = hits.into_iter().peekable();
    loop {
        let twin_first =
            waiting.first().is_some_and(|twin| hits.peek().is_none_or(|next| twin.hit.score >= next.hit.score));
        let (mut judged, was_put_behind) = if twin_first {
            (waiting.remove(0), true)
        } else if let Some(judged) = hits.next() {
            (judged, false)
        } else {
            break;
        };
        if ranked.hits.len() >= ask.top_k {
            ranked.left_out += 1;
            continue;
        }
        let hit = &mut judged.hit;
        let words = word_set(&hit.version.memory.text);
        let twinship = taken.iter().map(|other| overlap(&words, other)).fold(0.0, f32::max);
        if twinship >= 1.0 {
            ranked.left_out += 1;
            continue;
        }
        if !was_put_behind && twinship >= TWIN_SHARE {
            hit.score *= TWIN_PENALTY;
            let at = waiting.partition_point(|other| other.hit.score >= hit.score);
            waiting.insert(at, judged);
            continue;
        }
        let cost = tokens_of(&hit.version.memory.text);
        if cost > budget {
            ranked.left_out += 1;
            continue;
        }
        budget -= cost;
        taken.push(words);
        hit.parts.terms = terms_of(&judged.words);
        ranked.hits.push(judged.hit);
    }
    ranked
}

/// Distinct terms, sorted.
pub(super) fn word_set(text: &str) -> Vec<String> {
    let mut words = analyse(text).terms;
    words.sort_unstable();
    words.dedup();
    words
}

/// Jaccard's share of two sorted sets; of two empty ones it is 1.
pub(super) fn overlap(ours: &[String], theirs: &[String]) -> f32 {
    let shared = ours.iter().filter(|word| theirs.binary_search(word).is_ok()).count();
    let all = ours.len() + theirs.len() - shared;
    if all == 0 { 1.0 } else { shared as f32 / all as f32 }
}

/// About how many tokens a model sees: four bytes each, or one character of a script of its own.
pub fn tokens_of(text: &str) -> u32 {
    let (ascii, other) = text.chars().fold((0u32, 0u32), |(ascii, other), c| match c.len_utf8() {
        1 => (ascii + 1, other),
        2 => (ascii + 2, other),
        _ => (ascii, other + 1),
    });
    ascii.div_ceil(4) + other
}
