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

/// One word on one memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rating {
    pub id: MemoryId,
    pub signal: Signal,
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
}

impl Feedback {
    /// Nobody has said anything.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Takes one word in. One that was said earlier than the last does not turn time back.
    pub fn note(&mut self, signal: Signal, at: Time) {
        let count = match signal {
            Signal::Useful => &mut self.useful,
            Signal::Irrelevant => &mut self.irrelevant,
            Signal::Outdated => &mut self.outdated,
            Signal::Wrong => &mut self.wrong,
        };
        *count = count.saturating_add(1);
        if signal == Signal::Useful {
            self.useful_at = self.useful_at.max(Some(at));
        }
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

    /// -1 to 1: what to make of it. The mean of all words (1 for useful, -1/2 for irrelevant, which is about one
    /// question only, -1 for outdated and wrong) beside [`DOUBT`](Self::DOUBT) words that say nothing: the Bayesian
    /// average, so that one word moves little and many do not add up without end.
    pub fn balance(&self) -> f32 {
        let [useful, irrelevant, outdated, wrong] =
            [self.useful, self.irrelevant, self.outdated, self.wrong].map(|count| count as f32);
        let said = useful - 0.5 * irrelevant - outdated - wrong;
        said / (useful + irrelevant + outdated + wrong + Self::DOUBT)
    }

    /// Words that say nothing, which everything that is said stands beside.
    pub const DOUBT: f32 = 3.0;

    /// More say that it no longer holds than that it helped.
    pub fn is_doubted(&self) -> bool {
        u64::from(self.outdated) + u64::from(self.wrong) > u64::from(self.useful)
    }
}

/// When memories are judged: their age, and with that what is left of their confidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        feedback.note(Signal::Irrelevant, now);
        assert_eq!(old.confidence_at(&feedback, now).0, 100, "only what was of use is refreshed");
        feedback.note(Signal::Useful, now.plus_ms(-30 * DAY));
        assert_eq!(old.confidence_at(&feedback, now).0, 200);
        feedback.note(Signal::Useful, now.plus_ms(-40 * DAY));
        assert_eq!(old.confidence_at(&feedback, now).0, 200, "time was turned back");
        let pinned = Memory { pinned: true, ..old };
        assert_eq!(pinned.confidence_at(&Feedback::default(), now).0, 400);
    }

    #[test]
    fn what_is_said_often_counts_more_and_never_without_end() {
        let said = |useful, wrong| Feedback { useful, wrong, ..Feedback::default() }.balance();
        assert!(0.0 < said(1, 0) && said(1, 0) < said(5, 0) && said(5, 0) < said(u32::MAX, 0));
        assert!(said(u32::MAX, 0) <= 1.0 && said(0, u32::MAX) >= -1.0);
        assert_eq!((said(0, 0), said(7, 7)), (0.0, 0.0));
        assert!(Feedback { irrelevant: 1, ..Feedback::default() }.balance() > said(0, 1));
    }
}
