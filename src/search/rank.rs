//! From candidates to an answer. A memory's relevance is the length of what speaks for it: its words, its vector, the
//! memories around it, a name that it shares with a better hit. Squares let strong evidence of one sort stand beside
//! weak evidence of another. Priors (trust, age, place, what was said of it) multiply it within narrow bounds: they
//! settle near-ties and never lift the irrelevant. It asks no engine.

use super::budget::{Fit, fit};
use super::cutoff;
use super::evidence::{Evidence, Scale, Words};
use super::explain;
use super::fold::{Said, loses_to};
use crate::model::text::tokens_of;
use crate::model::{
    Calibration, Candidate, Candidates, Match, MemoryId, Moment, Parts, ProjectId, Relation, SessionId, Term, Version,
};

/// What the answer shall be.
#[derive(Clone, Debug)]
pub struct Ranking {
    pub top_k: usize,
    /// Budget for the texts, in tokens (`tokens_of`); 0 is none.
    pub max_tokens: u32,
    /// The least relevance of a hit, 0 to 1.
    pub min_score: f32,
    /// Its memories come before equally good global ones.
    pub project: Option<ProjectId>,
    /// Its memories come before equally good ones of other sessions.
    pub session: Option<SessionId>,
    /// When ages are judged, and whether what was said of memories counts.
    pub moment: Moment,
}

/// An answer, best first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranked {
    pub hits: Vec<RankedHit>,
    /// Relevant memories that `top_k` or `max_tokens` kept out.
    pub left_out: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RankedHit {
    /// Where `is_shortened`, its text is the beginning of the memory's.
    pub version: Version,
    /// 0 to 1: its relevance, with the priors.
    pub score: f32,
    pub parts: Parts,
    /// The text ends at a sentence before its end, to fit the budget.
    pub is_shortened: bool,
    /// Memories that say nearly the same and were folded into this hit.
    pub twins: Vec<MemoryId>,
    /// Memories that say otherwise, and give way to this one.
    pub beside: Vec<(Version, Relation)>,
}

/// By how much a memory that alone has all the words leads, whatever speaks for others and was said of it: more than
/// the priors can undo (1.05⁵ over 0.95²).
const ALONE_LEAD: f32 = 1.42;
/// The share of the words, by their worth, that are all of them.
const EXACT: f32 = 0.95;
/// What a neighbour's own evidence (squared) adds to a memory's, by distance 1 and 2: talk about one thing stays
/// together in a conversation. Recall@10 on LoCoMo is .680 without, .753 with these, .759 with a third more, which
/// in a session of unrelated notes costs paraphrases .04.
const NEIGHBOUR_SHARES: [f32; 2] = [0.3, 0.15];
/// A neighbour's vector speaks less for a memory than its words: .751 with 0.3, .758 with 0.6, .753 with 1.
const NEIGHBOUR_VECTOR_SHARE: f32 = 0.6;
/// The priors' reach: none of them moves a score by more than this.
const TRUST_REACH: f32 = 0.05;
const AGE_REACH: f32 = 0.05;
const PLACE_REACH: f32 = 0.05;
const FEEDBACK_REACH: f32 = 0.05;
/// How many hits past the last wanted one are still looked at for twins and contradictions: a fact that has been
/// replaced must not stay because its successor came one place later.
const LOOKED_PAST: usize = 8;
/// And how relevant, as a share of the best hit, what is no hit must be to be held against those that are.
const RIVAL_SHARE: f32 = 0.4;

/// Scores, orders and cuts what an engine found. `calibration` is that of the model whose cosines are there.
pub fn rank(question: &[Term], calibration: Option<Calibration>, candidates: Candidates, ask: &Ranking) -> Ranked {
    Judgement::of(question, calibration, candidates, ask).answer()
}

/// A memory that came into question.
pub(super) struct Judged {
    /// It has nearly all of the question's words.
    is_exact: bool,
    /// What it is put ahead by, squared, since it alone is.
    lead: f32,
    pub candidate: Candidate,
    pub own: Evidence,
    /// Squares of what those around it and those linked to it add.
    neighbours: f32,
    pub link: f32,
    priors: Priors,
}

impl Judged {
    pub(super) fn id(&self) -> MemoryId {
        self.candidate.version.memory.id
    }

    pub(super) fn relevance(&self) -> f32 {
        let Evidence { lexical, vector } = self.own;
        (lexical.powi(2) + vector.powi(2) + self.neighbours + self.link + self.lead).sqrt()
    }

    /// What is sorted by: of two that answer fully, one may still be the better.
    fn weight(&self) -> f32 {
        self.relevance() * self.priors.product()
    }

    fn score(&self) -> f32 {
        self.weight().min(1.0)
    }
}

struct Priors {
    trust: f32,
    age: f32,
    place: f32,
    feedback: f32,
}

impl Priors {
    fn product(&self) -> f32 {
        self.trust * self.age * self.place * self.feedback
    }
}

/// What was found for a question, before it is cut to an answer.
pub(super) struct Judgement<'a> {
    question: &'a [Term],
    ask: &'a Ranking,
    words: Words,
    scale: Option<Scale>,
    /// 0 to 1: how far neighbours speak for each other here.
    talk: f32,
    /// Those that answer, best first; empty when nothing does.
    pub direct: Vec<Judged>,
    /// The others of the candidates, by id.
    rest: Vec<Judged>,
    /// Those that a name links to the direct ones, best first: they come after them.
    pub linked: Vec<Judged>,
}

impl<'a> Judgement<'a> {
    pub(super) fn of(
        question: &'a [Term],
        calibration: Option<Calibration>,
        mut candidates: Candidates,
        ask: &'a Ranking,
    ) -> Self {
        // Sums of floating-point numbers depend on their order: it must not be that of local numbers.
        candidates.found.sort_by_key(|found| found.version.memory.id);
        let words = Words::of(question, &candidates);
        let scale = calibration.zip(candidates.cosines).map(|(calibration, cosines)| Scale::of(calibration, cosines));
        let likeness = cutoff::likeness(&candidates.found);
        let talk = cutoff::talk(calibration, likeness);
        let (direct, rest, linked) = (Vec::new(), Vec::new(), Vec::new());
        let mut judgement = Self { question, ask, words, scale, talk, direct, rest, linked };
        let found = std::mem::take(&mut candidates.found);
        let mut all: Vec<Judged> = found.into_iter().map(|candidate| judgement.judge(candidate)).collect();
        // Where one memory alone has the words that were asked for (`claim q100`), it comes before those that only
        // stand among such (`claim q102`).
        let most = all.iter().map(Judged::relevance).fold(0.0, f32::max);
        let mut exact = all.iter_mut().filter(|judged| judged.is_exact);
        if let (Some(only), None) = (exact.next(), exact.next())
            && only.relevance() < most
        {
            only.lead = (most * ALONE_LEAD).powi(2) - only.relevance().powi(2);
            only.priors.feedback = only.priors.feedback.max(1.0);
        }
        let Some(best) = all.iter().reduce(|a, b| if b.relevance() > a.relevance() { b } else { a }) else {
            return judgement;
        };
        if !cutoff::is_answered(&judgement.words, calibration, likeness, &all, best) {
            judgement.rest = all;
            return judgement;
        }
        let floor = cutoff::floor(best.relevance(), best.own, ask.top_k).max(ask.min_score);
        let is_talk = calibration.is_none() || all.len() >= cutoff::TALK_MIN;
        let is_hit = |judged: &Judged| judged.relevance() >= floor && (is_talk || judged.own.is_any());
        (judgement.direct, judgement.rest) = all.into_iter().partition(is_hit);
        judgement.direct.sort_by(|a, b| b.weight().total_cmp(&a.weight()).then(a.id().cmp(&b.id())));
        judgement
    }

    pub(super) fn judge(&self, candidate: Candidate) -> Judged {
        let evidence = |found: &Match| Evidence::of(&self.words, self.scale.as_ref(), found);
        let neighbour = |(distance, found): &(i8, Match)| {
            let Evidence { lexical, vector } = evidence(found);
            let share = NEIGHBOUR_SHARES.get(usize::from(distance.unsigned_abs()).wrapping_sub(1)).unwrap_or(&0.0);
            share * (lexical.powi(2) + NEIGHBOUR_VECTOR_SHARE * vector.powi(2))
        };
        Judged {
            own: evidence(&candidate.words),
            lead: 0.0,
            is_exact: self.words.coverage([&candidate.words].into_iter()) >= EXACT,
            neighbours: self.talk * candidate.around.iter().map(neighbour).sum::<f32>(),
            link: 0.0,
            priors: self.priors(&candidate),
            candidate,
        }
    }

    fn priors(&self, candidate: &Candidate) -> Priors {
        let (memory, ask) = (&candidate.version.memory, self.ask);
        let is_of = |ask: bool| if ask { 1.0 + PLACE_REACH } else { 1.0 };
        Priors {
            trust: around_one(memory.confidence.as_fraction(), TRUST_REACH),
            age: around_one(memory.freshness(&candidate.feedback, ask.moment.time()), AGE_REACH),
            place: is_of(memory.project.is_some() && memory.project == ask.project)
                * is_of(memory.session.is_some() && memory.session == ask.session),
            feedback: 1.0 + FEEDBACK_REACH * candidate.feedback.balance(memory),
        }
    }

    /// The share of the question's words that the best hit has.
    pub(super) fn coverage(&self) -> f32 {
        self.direct.first().map_or(0.0, |best| self.words.coverage([&best.candidate.words].into_iter()))
    }

    /// Takes a candidate that is no hit of its own, to link it.
    pub(super) fn take(&mut self, id: MemoryId) -> Option<Judged> {
        let at = self.rest.iter().position(|judged| judged.id() == id)?;
        Some(self.rest.remove(at))
    }

    /// The answer: from the best downwards, twins folded, what has been replaced put beside its successor, within
    /// count and budget.
    pub(super) fn answer(self) -> Ranked {
        let Self { question, ask, words, direct, linked, mut rest, .. } = self;
        let bar = direct.iter().map(Judged::relevance).fold(0.0, f32::max) * RIVAL_SHARE;
        rest.retain(|judged| bar > 0.0 && judged.relevance() >= bar);
        rest.sort_by(|a, b| b.weight().total_cmp(&a.weight()).then(a.id().cmp(&b.id())));
        let (mut shown, mut left_out) = (Vec::<Shown>::new(), 0);
        let lowest = direct.last().map_or(0.0, Judged::score);
        let first_linked = direct.len();
        for (place, judged) in direct.into_iter().chain(linked).enumerate() {
            if place >= ask.top_k + LOOKED_PAST {
                left_out += 1;
                continue;
            }
            let mut next = Shown::of(judged);
            if place >= first_linked {
                next.hit.score = next.hit.score.min(lowest);
            }
            left_out += u32::from(!place_in(&mut shown, next, ask.top_k));
        }
        for rival in rest.into_iter().take(LOOKED_PAST) {
            settle(&mut shown, Shown::of(rival));
        }
        let mut ranked = Ranked { hits: Vec::new(), left_out };
        let mut budget = if ask.max_tokens == 0 { u32::MAX } else { ask.max_tokens };
        for Shown { mut hit, words: found, .. } in shown {
            match fit(&hit.version.memory.text, budget) {
                Fit::Whole => {}
                Fit::Shortened(text) => {
                    hit.version.memory.text = text.to_owned();
                    hit.is_shortened = true;
                }
                Fit::Nothing => {
                    ranked.left_out += 1;
                    continue;
                }
            }
            budget -= tokens_of(&hit.version.memory.text);
            let shares = question.iter().zip(words.shares(&found)).filter(|(_, share)| *share > 0.0);
            hit.parts.terms = shares.map(|(term, share)| (term.text.clone(), share)).collect();
            hit.parts.reason = explain::reason(&hit.parts, &hit.version.memory.text);
            ranked.hits.push(hit);
        }
        ranked
    }
}

/// A hit of the answer, with what its likes are told by.
struct Shown {
    hit: RankedHit,
    said: Said,
    vector: Vec<i8>,
    words: Match,
}

impl Shown {
    fn of(judged: Judged) -> Self {
        let score = judged.score();
        let Judged { candidate, own, neighbours, link, priors, is_exact: _, lead: _ } = judged;
        let parts = Parts {
            lexical: own.lexical,
            vector: own.vector,
            neighbours: neighbours.sqrt(),
            link: link.sqrt(),
            trust: priors.trust,
            age: priors.age,
            place: priors.place,
            terms: Vec::new(),
            reason: String::new(),
            feedback: priors.feedback,
        };
        Self {
            said: Said::of(&candidate.version.memory.text),
            vector: candidate.vector,
            words: candidate.words,
            hit: RankedHit {
                version: candidate.version,
                score,
                parts,
                is_shortened: false,
                twins: Vec::new(),
                beside: Vec::new(),
            },
        }
    }
}

/// Puts a hit behind those shown, into a twin, beside its successor, or in place of what it replaces; `false` when
/// there is no room for it.
fn place_in(shown: &mut Vec<Shown>, next: Shown, top_k: usize) -> bool {
    // Nearly the same is not the same: what is trusted more is never hidden behind what is trusted less.
    let stands_for = |other: &Shown| {
        other.hit.version.memory.trust <= next.hit.version.memory.trust
            && next.said.is_twin(&other.said, &next.vector, &other.vector)
    };
    if let Some(twin) = shown.iter_mut().find(|other| stands_for(other)) {
        twin.hit.twins.push(next.hit.version.memory.id);
        return true;
    }
    let Some(mut next) = settle(shown, next) else { return true };
    if shown.len() >= top_k {
        return false;
    }
    next.hit.score = next.hit.score.min(shown.last().map_or(1.0, |last| last.hit.score));
    shown.push(next);
    true
}

/// Puts a memory beside the hit that it gives way to, or in place of the one that gives way to it; gives it back when
/// it contradicts none.
fn settle(shown: &mut [Shown], next: Shown) -> Option<Shown> {
    let memory = &next.hit.version.memory;
    for other in shown.iter_mut() {
        if let Some(relation) = loses_to(memory, &other.hit.version.memory, &next.said, &other.said) {
            other.hit.beside.push((next.hit.version, relation));
            return None;
        }
    }
    let replaced = shown.iter().enumerate().find_map(|(at, other)| {
        let relation = loses_to(&other.hit.version.memory, memory, &other.said, &next.said)?;
        Some((at, relation))
    });
    if let Some((at, relation)) = replaced {
        let old = std::mem::replace(&mut shown[at], next);
        let new = &mut shown[at].hit;
        new.score = new.score.max(old.hit.score);
        new.beside.push((old.hit.version, relation));
        new.beside.extend(old.hit.beside);
        return None;
    }
    Some(next)
}

/// A fraction to a factor from `1 - reach` to `1 + reach`.
fn around_one(fraction: f32, reach: f32) -> f32 {
    1.0 + reach * (2.0 * fraction.clamp(0.0, 1.0) - 1.0)
}
