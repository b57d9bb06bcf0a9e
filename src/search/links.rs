//! Hops over names: who is asked about leads to what is answered (a person to a service, that to a library, that to
//! its defect). The names of the best hits are asked for in a second question; what they lead to comes after the
//! direct hits and never before them.

use super::rank::{Judged, Judgement};
use crate::lexical;
use crate::model::{Candidates, MemoryId, Term};

/// A person leads to a service, and the service to what it uses; a third hop leads everywhere.
pub(super) const ROUNDS: usize = 2;
/// Linked memories that one round brings at most.
pub(super) const LINKED_MAX: usize = 40;
/// When the best hit has so much of the question's words, it is not a stepping stone.
const COVERED: f32 = 0.75;
/// From so many memories does a round start, the first and the later ones, and with so many names.
const PARENTS: [usize; ROUNDS] = [3, 8];
const NAMES_MAX: usize = 24;
/// What a hop takes of the relevance of where it starts.
const DECAY: f32 = 0.7;
/// A name that more than this share of the state's memories have (and more than three) leads nowhere.
const COMMON_SHARE: f32 = 1.0 / 3.0;
const COMMON_MIN: f32 = 3.0;
/// Of what a name leads to, that which also has words of the question is meant: they count so much more there.
const OWN_FACTOR: f32 = 2.0;
/// What is linked more weakly than this share of the best hit is a coincidence.
const FLOOR: f32 = 0.15;
/// The question's own words in the second question: they choose between what one name leads to.
const QUESTION_WEIGHT: f32 = 0.3;

/// A name and how relevant the memory is that has it.
struct Name {
    term: String,
    relevance: f32,
}

/// The hops from a judgement's direct hits.
pub(super) struct Links {
    linked: Vec<Judged>,
    /// Names that were asked for, or that the question has: nothing is asked twice.
    known: Vec<String>,
    asked: Vec<Name>,
    round: usize,
}

impl Links {
    pub(super) fn new(question: &[Term]) -> Self {
        let known = question.iter().map(|term| term.text.clone()).collect();
        Self { linked: Vec::new(), known, asked: Vec::new(), round: 0 }
    }

    /// The terms of the next round's question; `None` when a hop would not help.
    pub(super) fn next(&mut self, question: &[Term], judgement: &Judgement<'_>, top_k: usize) -> Option<Vec<Term>> {
        let direct = &judgement.direct;
        if self.round >= ROUNDS || direct.is_empty() || direct.len() >= top_k || judgement.coverage() >= COVERED {
            return None;
        }
        let mut parents: Vec<(&Judged, f32)> = match self.round {
            0 => direct.iter().map(|judged| (judged, judged.relevance())).collect(),
            _ => self.linked.iter().map(|judged| (judged, strength(judged))).collect(),
        };
        parents.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.id().cmp(&b.0.id())));
        self.asked.clear();
        for (parent, relevance) in parents.into_iter().take(PARENTS[self.round]) {
            for term in lexical::entities(&parent.candidate.version.memory.text) {
                if let Some(name) = self.asked.iter_mut().find(|name| name.term == term) {
                    name.relevance = name.relevance.max(relevance);
                } else if self.asked.len() < NAMES_MAX && !self.known.contains(&term) {
                    self.asked.push(Name { term, relevance });
                }
            }
        }
        self.round += 1;
        if self.asked.is_empty() {
            return None;
        }
        self.known.extend(self.asked.iter().map(|name| name.term.clone()));
        let own = question.iter().map(|term| Term { weight: term.weight * QUESTION_WEIGHT, ..term.clone() });
        Some(own.chain(self.asked.iter().map(|name| Term { text: name.term.clone(), weight: 1.0 })).collect())
    }

    /// Takes what the round's question found: its first `own_terms` terms are the question's.
    pub(super) fn take(&mut self, judgement: &mut Judgement<'_>, own_terms: usize, found: Candidates) {
        let common = (found.live as f32 * COMMON_SHARE).max(COMMON_MIN);
        // The more memories have a name, the less it says of each.
        let spread = |df: &u32| match *df {
            df if df < 2 || df as f32 > common => 0.0,
            df => 1.0 / ((df - 1) as f32).sqrt(),
        };
        let spreads: Vec<f32> = found.document_frequencies.iter().skip(own_terms).map(spread).collect();
        let limit = self.asked.iter().map(|name| name.relevance).fold(0.0, f32::max) * DECAY;
        for candidate in found.found {
            let id = candidate.version.memory.id;
            let has = candidate.words.frequencies.iter().skip(own_terms);
            let shared = has.zip(&self.asked).zip(&spreads).filter(|((n, _), _)| **n > 0);
            let link: f32 = shared
                .map(|((_, name), spread)| (DECAY * name.relevance * spread).powi(2))
                .sum::<f32>()
                .min(limit * limit);
            if link <= 0.0 || judgement.direct.iter().any(|judged| judged.id() == id) {
                continue;
            }
            if let Some(known) = self.linked.iter_mut().find(|judged| judged.id() == id) {
                known.link = known.link.max(link);
                continue;
            }
            let mut judged = judgement.take(id).unwrap_or_else(|| judgement.judge(candidate));
            judged.link = link;
            self.linked.push(judged);
        }
    }

    /// Hands what was linked to the judgement, best first.
    pub(super) fn finish(self, judgement: &mut Judgement<'_>) {
        let best = judgement.direct.iter().map(Judged::relevance).fold(0.0, f32::max);
        let mut linked: Vec<(f32, MemoryId, Judged)> =
            self.linked.into_iter().map(|judged| (strength(&judged), judged.id(), judged)).collect();
        linked.retain(|(strength, _, _)| *strength >= FLOOR * best);
        linked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        judgement.linked = linked.into_iter().map(|(_, _, judged)| judged).collect();
    }
}

/// By what linked memories are compared.
fn strength(judged: &Judged) -> f32 {
    (judged.link + OWN_FACTOR.powi(2) * (judged.relevance().powi(2) - judged.link)).max(0.0).sqrt()
}
