//! States by the number of their commit: the last few that were asked for, within a bound of memory, and how one is
//! made from the nearest keyframe. It takes erased versions out of whatever it hands out for reading.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use roaring::RoaringBitmap;

use super::Past;
use super::rows::{Body, CommitRow, Move, Place, damaged};
use crate::engine::At;
use crate::error::Result;
use crate::model::{CommitId, Name, Time};

const STATES_MAX: usize = 64;
/// A state of a million memories takes up to 130 KB, and far less where few were ever changed.
const STATES_BYTES_MAX: u64 = 12 << 20;
/// What stays when the daemon rests.
const RESTING_BYTES_MAX: u64 = 1 << 20;

/// What is live at a commit.
#[derive(Debug)]
pub struct State {
    /// As the commits make it.
    pub raw: Arc<RoaringBitmap>,
    /// Without what was erased since: what is read.
    pub served: Arc<RoaringBitmap>,
    /// Of what is served.
    pub live: u32,
    pub tokens: u64,
}

/// The states that were asked for last, by the number of their commit.
#[derive(Default)]
pub struct States(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    erased: Arc<RoaringBitmap>,
    /// The last asked for comes first.
    states: VecDeque<(u32, Arc<State>)>,
}

impl States {
    /// The state of a commit, if it is remembered.
    pub fn get(&self, number: u32) -> Option<Arc<State>> {
        let mut kept = self.kept();
        let at = kept.states.iter().position(|(known, _)| *known == number)?;
        let found = kept.states.remove(at)?;
        let state = Arc::clone(&found.1);
        kept.states.push_front(found);
        Some(state)
    }

    /// The versions whose bytes are gone.
    pub fn erased(&self) -> Arc<RoaringBitmap> {
        Arc::clone(&self.kept().erased)
    }

    /// From now on these are erased; what was kept is made anew.
    pub fn erase(&self, erased: Arc<RoaringBitmap>) {
        *self.kept() = Kept { erased, states: VecDeque::new() };
    }

    /// Keeps a state that was made when `erased` was what is erased; if it no longer is, the state is out of date.
    pub fn keep(&self, number: u32, state: &Arc<State>, erased: &Arc<RoaringBitmap>) {
        let mut kept = self.kept();
        if !Arc::ptr_eq(&kept.erased, erased) {
            return;
        }
        kept.states.retain(|(known, _)| *known != number);
        kept.states.push_front((number, Arc::clone(state)));
        kept.shrink(STATES_BYTES_MAX);
    }

    /// Lets one state go.
    pub fn forget(&self, number: u32) {
        self.kept().states.retain(|(known, _)| *known != number);
    }

    /// Lets all of them go.
    pub fn forget_all(&self) {
        self.kept().states.clear();
    }

    /// Lets most of them go.
    pub fn rest(&self) {
        self.kept().shrink(RESTING_BYTES_MAX);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn shrink(&mut self, bytes_max: u64) {
        self.states.truncate(STATES_MAX);
        let mut bytes = 0;
        let kept = self.states.iter().take_while(|(_, state)| {
            bytes += state.bytes();
            bytes <= bytes_max
        });
        // The last asked for stays, whatever its size: the next question is about it.
        let len = kept.count().max(1);
        self.states.truncate(len);
    }
}

impl State {
    /// What `raw`, with the counts of its commit, is to those who read. `terms` says how long versions are together.
    pub fn serve(
        raw: Arc<RoaringBitmap>,
        (live, tokens): (u32, u64),
        erased: &RoaringBitmap,
        terms: impl FnOnce(&RoaringBitmap) -> Result<u64>,
    ) -> Result<Self> {
        if raw.is_disjoint(erased) {
            return Ok(Self { served: Arc::clone(&raw), raw, live, tokens });
        }
        let gone = &*raw & erased;
        let gone_tokens = terms(&gone)?;
        let served = Arc::new(&*raw - &gone);
        Ok(Self { raw, served, live: live - gone.len() as u32, tokens: tokens.saturating_sub(gone_tokens) })
    }

    fn bytes(&self) -> u64 {
        let served = if Arc::ptr_eq(&self.raw, &self.served) { 0 } else { self.served.serialized_size() };
        (self.raw.serialized_size() + served) as u64
    }
}

/// The nearest keyframe at or before a commit, and the deltas since: the state as the commits make it. Both are asked
/// for by number, from new to old; a keyframe is where a commit's `since_keyframe` is 0, and nowhere else.
pub fn replay(
    commit: impl Fn(u32) -> Result<CommitRow>,
    keyframe: impl Fn(u32) -> Result<Option<RoaringBitmap>>,
    number: u32,
) -> Result<RoaringBitmap> {
    let mut deltas = Vec::new();
    let mut at = number;
    let mut state = loop {
        if let Some(keyframe) = keyframe(at)? {
            break keyframe;
        }
        let row = commit(at)?;
        let Body::Narrow { delta, .. } = row.body else {
            return Err(damaged(&format!("wide commit {at} has no keyframe")));
        };
        deltas.push(delta);
        match row.place.parents[0] {
            Some(parent) if parent < at => at = parent,
            _ => return Err(damaged(&format!("no keyframe lies before commit {number}"))),
        }
    };
    deltas.iter().rev().for_each(|delta| delta.apply_to(&mut state));
    Ok(state)
}

/// Every living branch, and where it stands.
pub type Heads = BTreeMap<Name, Arc<Head>>;

/// Where a branch stands.
#[derive(Clone, Debug)]
pub struct Head {
    /// Of the commit.
    pub number: u32,
    pub id: CommitId,
    pub place: Place,
    pub since_keyframe: u32,
    /// As the commit counts them: those that were erased since are among them.
    pub live: u32,
    pub tokens: u64,
    /// The name's last row.
    pub last: Move,
}

impl Head {
    /// The head of a branch whose last move is this, to the commit of that row.
    pub fn of(row: &CommitRow, last: Move) -> Self {
        let CommitRow { place, live, tokens, since_keyframe, .. } = *row;
        Self { number: last.standing.number, id: row.id(), place, since_keyframe, live, tokens, last }
    }
}

/// A branch's head, to be read at a moment.
pub fn at_head(head: &Head, state: &State, now: Time) -> At {
    At { commit: head.id, as_of: now, live: state.live, tokens: state.tokens, state: Arc::clone(&state.served) }
}

/// A past commit, which is read as of its own time.
pub fn at_commit(past: &impl Past, number: u32) -> Result<At> {
    let (row, state) = (past.commit(number)?, past.state(number)?);
    let (live, tokens) = (state.live, state.tokens);
    Ok(At { commit: row.id(), as_of: row.bare()?.at, live, tokens, state: Arc::clone(&state.served) })
}
