//! What those who used a memory say of it, and what is left of its confidence with time. Both belong to the memory's
//! id: no version, no commit and no past state knows of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::MemoryId;
use super::memory::{Confidence, Memory, Trust, named_enum};
use super::time::Time;
use crate::error::{Error, Result};

named_enum!(
/// How a memory served whoever was shown it.
Signal, "signal", {
    /// It helped: it was used.
    Useful = 0, "useful";
    /// It had nothing to do with what was asked.
    Irrelevant = 1, "irrelevant";
    /// It held once.
    Outdated = 2, "outdated";
    /// It does not hold.
    Wrong = 3, "wrong";
});

/// More to be said of a memory: one word, or all that was said of it in another store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rating {
    pub id: MemoryId,
    pub said: Feedback,
}

/// What was said of a memory so far. Numbers stop at their largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    pub useful: u32,
    pub irrelevant: u32,
    pub outdated: u32,
    pub wrong: u32,
    /// When it was last of use.
    pub useful_at: Option<Time>,
    /// When it was last said not to hold (outdated or wrong).
    pub doubted_at: Option<Time>,
}

impl Feedback {
    /// Nobody has said anything.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// One word.
    pub fn word(signal: Signal, at: Time) -> Self {
        let one = |of: Signal| u32::from(signal == of);
        let (outdated, wrong) = (one(Signal::Outdated), one(Signal::Wrong));
        Self {
            useful: one(Signal::Useful),
            irrelevant: one(Signal::Irrelevant),
            outdated,
            wrong,
            useful_at: (signal == Signal::Useful).then_some(at),
            doubted_at: (outdated + wrong > 0).then_some(at),
        }
    }

    /// Takes in what else was said. What was said earlier than the last word does not turn time back.
    pub fn add(&mut self, more: &Self) {
        let Self { useful, irrelevant, outdated, wrong, useful_at, doubted_at } = *more;
        self.useful = self.useful.saturating_add(useful);
        self.irrelevant = self.irrelevant.saturating_add(irrelevant);
        self.outdated = self.outdated.saturating_add(outdated);
        self.wrong = self.wrong.saturating_add(wrong);
        self.useful_at = self.useful_at.max(useful_at);
        self.doubted_at = self.doubted_at.max(doubted_at);
    }

    /// As it may be taken over from elsewhere at `now`: no word was said in a time to come, and a time that belongs to
    /// no word says nothing.
    pub fn until(self, now: Time) -> Self {
        let of = |is_said: bool, at: Option<Time>| at.filter(|_| is_said).map(|at| at.min(now));
        Self {
            useful_at: of(self.useful > 0, self.useful_at),
            doubted_at: of(self.outdated > 0 || self.wrong > 0, self.doubted_at),
            ..self
        }
    }

    /// With so many more words for it than against it at most.
    pub fn praised_at_most(self, lead: u32) -> Self {
        let against = self.irrelevant.saturating_add(self.outdated).saturating_add(self.wrong);
        Self { useful: self.useful.min(against.saturating_add(lead)), ..self }
    }

    /// How many of that word.
    pub fn count(&self, signal: Signal) -> u32 {
        match signal {
            Signal::Useful => self.useful,
            Signal::Irrelevant => self.irrelevant,
            Signal::Outdated => self.outdated,
            Signal::Wrong => self.wrong,
        }
    }

    /// -1 to 1: what to make of it for the memory as it is. The mean of all words (1 for useful, -1/2 for irrelevant,
    /// which is about one question only, -1 for outdated and wrong) beside [`DOUBT`](Self::DOUBT) words that say
    /// nothing: the Bayesian average, so that one word moves little and many do not add up without end.
    pub fn balance(&self, memory: &Memory) -> f32 {
        let (outdated, wrong) = self.doubts(memory);
        let [useful, irrelevant, outdated, wrong] =
            [self.useful, self.irrelevant, outdated, wrong].map(|count| count as f32);
        let said = useful - 0.5 * irrelevant - outdated - wrong;
        said / (useful + irrelevant + outdated + wrong + Self::DOUBT)
    }

    /// Words that say nothing, which everything that is said stands beside.
    pub const DOUBT: f32 = 3.0;

    /// More say that it no longer holds than that it helped.
    pub fn is_doubted(&self, memory: &Memory) -> bool {
        let (outdated, wrong) = self.doubts(memory);
        u64::from(outdated) + u64::from(wrong) > u64::from(self.useful)
    }

    /// How many said outdated, and wrong, of what the memory says. Where it was corrected after the last of them they
    /// had another text before them; the version tells, so each branch and each past text is judged by its own.
    fn doubts(&self, memory: &Memory) -> (u32, u32) {
        let is_answered = self.doubted_at.is_some_and(|at| at < memory.observed_at);
        if is_answered { (0, 0) } else { (self.outdated, self.wrong) }
    }
}

/// When memories are judged: their age, and with that what is left of their confidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moment {
    /// As of now: what was said of them counts.
    Now(Time),
    /// As of a past state, whose commit was made then. Nothing that was said of them counts, since nobody knows what
    /// had been said by then: so a past state answers the same whenever it is asked.
    Past(Time),
}

impl Moment {
    /// When that is.
    pub fn time(self) -> Time {
        match self {
            Self::Now(time) | Self::Past(time) => time,
        }
    }
}

const DAY_MS: f32 = 86_400_000.0;

impl Trust {
    /// After how many days half of a memory's confidence is left (the existing Memoria's periods, which are e-folding
    /// times there).
    pub fn half_life_days(self) -> f32 {
        match self {
            Self::T1 => 365.0,
            Self::T2 => 180.0,
            Self::T3 => 60.0,
            Self::T4 => 30.0,
        }
    }
}

impl Memory {
    /// 0 to 1, what is left of its confidence at a moment: `2^(-age / half-life)`, where the age counts from when it
    /// was last observed or of use, whichever is later, and the half-life is its trust tier's. What is pinned does not
    /// age. Being shown in an answer is no use: nobody knows what came of it.
    pub fn freshness(&self, feedback: &Feedback, now: Time) -> f32 {
        if self.pinned {
            return 1.0;
        }
        let since = feedback.useful_at.map_or(self.observed_at, |used| used.max(self.observed_at));
        let age_days = now.since(since).max(0) as f32 / DAY_MS;
        (-age_days / self.trust.half_life_days()).exp2()
    }

    /// Its confidence at a moment. It is worked out whenever it is asked for, and nothing is ever deleted for it.
    pub fn confidence_at(&self, feedback: &Feedback, now: Time) -> Confidence {
        Confidence((f32::from(self.confidence.0) * self.freshness(feedback, now)).round() as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Origin, Source};

    fn memory(trust: Trust, confidence: u16) -> Memory {
        let (source, at) = (Source::User, Time(1_000_000 * DAY));
        Memory {
            id: MemoryId([1; 16]),
            kind: Kind::Semantic,
            text: "aged".to_owned(),
            tags: Default::default(),
            trust,
            confidence: Confidence(confidence),
            project: None,
            session: None,
            subject: None,
            origin: Origin { source, agent: None, agent_version: None, session: None, tool: None, file: None },
            created_at: at,
            observed_at: at,
            expires_at: None,
            pinned: false,
            metadata: String::new(),
        }
    }

    const DAY: i64 = 86_400_000;

    #[test]
    fn after_its_half_life_half_of_a_memorys_confidence_is_left() {
        for (trust, days) in [(Trust::T1, 365), (Trust::T2, 180), (Trust::T3, 60), (Trust::T4, 30)] {
            let memory = memory(trust, 800);
            let after = |half_lives: i64| {
                let now = memory.observed_at.plus_ms(half_lives * days * DAY);
                memory.confidence_at(&Feedback::default(), now).0
            };
            assert_eq!([after(-1), after(0), after(1), after(2)], [800, 800, 400, 200], "{trust}");
        }
    }

    #[test]
    fn use_makes_a_memory_young_again_and_a_pin_keeps_it_so() {
        let old = memory(Trust::T4, 400);
        let now = old.observed_at.plus_ms(60 * DAY);
        let mut feedback = Feedback::default();
        assert_eq!(old.confidence_at(&feedback, now).0, 100);
        feedback.add(&Feedback::word(Signal::Irrelevant, now));
        assert_eq!(old.confidence_at(&feedback, now).0, 100, "only what was of use is refreshed");
        feedback.add(&Feedback::word(Signal::Useful, now.plus_ms(-30 * DAY)));
        assert_eq!(old.confidence_at(&feedback, now).0, 200);
        feedback.add(&Feedback::word(Signal::Useful, now.plus_ms(-40 * DAY)));
        assert_eq!(old.confidence_at(&feedback, now).0, 200, "time was turned back");
        let pinned = Memory { pinned: true, ..old };
        assert_eq!(pinned.confidence_at(&Feedback::default(), now).0, 400);
    }

    #[test]
    fn what_is_said_often_counts_more_and_never_without_end() {
        let rated = memory(Trust::T3, 650);
        let said = |useful, wrong| Feedback { useful, wrong, ..Feedback::default() }.balance(&rated);
        assert!(0.0 < said(1, 0) && said(1, 0) < said(5, 0) && said(5, 0) < said(u32::MAX, 0));
        assert!(said(u32::MAX, 0) <= 1.0 && said(0, u32::MAX) >= -1.0);
        assert_eq!((said(0, 0), said(7, 7)), (0.0, 0.0));
        assert!(Feedback { irrelevant: 1, ..Feedback::default() }.balance(&rated) > said(0, 1));
    }

    #[test]
    fn what_is_taken_over_was_said_before_now_and_praises_within_bounds() {
        let (now, later) = (Time(1_000), Some(Time(2_000)));
        let said = Feedback { useful: 9, irrelevant: 1, wrong: 2, useful_at: later, doubted_at: later, outdated: 0 };
        let taken = said.until(now).praised_at_most(3);
        assert_eq!((taken.useful, taken.useful_at, taken.doubted_at), (6, Some(now), Some(now)));
        assert_eq!((taken.irrelevant, taken.wrong), (1, 2));
        let idle = Feedback { useful_at: later, doubted_at: later, ..Feedback::default() };
        assert!(idle.until(now).is_none(), "nobody said anything, at no time");
        let much = Feedback { wrong: u32::MAX, outdated: u32::MAX, useful: u32::MAX, ..Feedback::default() };
        assert_eq!(much.praised_at_most(3), much);
    }

    #[test]
    fn a_correction_answers_what_was_said_against_the_text_before() {
        let wrong = memory(Trust::T3, 650);
        let at = wrong.observed_at.plus_ms(DAY);
        let mut feedback = Feedback::word(Signal::Wrong, at);
        let corrected = Memory { observed_at: at.plus_ms(1), ..wrong.clone() };
        assert!(feedback.is_doubted(&wrong) && !feedback.is_doubted(&corrected));
        assert!(feedback.balance(&wrong) < 0.0 && feedback.balance(&corrected) == 0.0);
        feedback.add(&Feedback::word(Signal::Outdated, at.plus_ms(DAY)));
        assert!(feedback.is_doubted(&corrected), "and it is doubted anew");
    }
}
