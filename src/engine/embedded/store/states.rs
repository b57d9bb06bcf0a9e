//! States by the number of their commit: the last few that were asked for, within a bound of memory, and how one is
//! made from the nearest keyframe. It takes erased versions out of whatever it hands out for reading.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::ReadableTable;
use roaring::RoaringBitmap;

use super::super::tables::{self, Body, VersionRow};
use super::commit_row;
use crate::error::Result;

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

#[derive(Default)]
pub struct States(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    erased: Arc<RoaringBitmap>,
    /// The last asked for comes first.
    states: VecDeque<(u32, Arc<State>)>,
}

impl States {
    pub fn get(&self, number: u32) -> Option<Arc<State>> {
        let mut kept = self.kept();
        let at = kept.states.iter().position(|(known, _)| *known == number)?;
        let found = kept.states.remove(at)?;
        let state = Arc::clone(&found.1);
        kept.states.push_front(found);
        Some(state)
    }

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

    pub fn forget(&self, number: u32) {
        self.kept().states.retain(|(known, _)| *known != number);
    }

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
    /// What `raw`, with the counts of its commit, is to those who read.
    pub fn serve(
        raw: Arc<RoaringBitmap>,
        (live, tokens): (u32, u64),
        erased: &RoaringBitmap,
        versions: &impl ReadableTable<u32, &'static [u8]>,
    ) -> Result<Self> {
        if raw.is_disjoint(erased) {
            return Ok(Self { served: Arc::clone(&raw), raw, live, tokens });
        }
        let gone = &*raw & erased;
        let mut gone_tokens = 0;
        for vid in &gone {
            if let Some(row) = versions.get(vid)? {
                gone_tokens += u64::from(VersionRow::decode(row.value())?.terms());
            }
        }
        let served = Arc::new(&*raw - &gone);
        Ok(Self { raw, served, live: live - gone.len() as u32, tokens: tokens.saturating_sub(gone_tokens) })
    }

    fn bytes(&self) -> u64 {
        let served = if Arc::ptr_eq(&self.raw, &self.served) { 0 } else { self.served.serialized_size() };
        (self.raw.serialized_size() + served) as u64
    }
}

/// The nearest keyframe at or before a commit, and the deltas since: the state as the commits make it.
pub fn replay(
    commits: &impl ReadableTable<u32, &'static [u8]>,
    states: &impl ReadableTable<u32, &'static [u8]>,
    number: u32,
) -> Result<RoaringBitmap> {
    let mut deltas = Vec::new();
    let mut at = number;
    let mut state = loop {
        if let Some(keyframe) = states.get(at)? {
            break tables::bitmap(keyframe.value())?;
        }
        let row = commit_row(commits, at)?;
        let Body::Narrow { delta, .. } = row.body else {
            return Err(tables::damaged(&format!("wide commit {at} has no keyframe")));
        };
        deltas.push(delta);
        match row.place.parents[0] {
            Some(parent) if parent < at => at = parent,
            _ => return Err(tables::damaged(&format!("no keyframe lies before commit {number}"))),
        }
    };
    deltas.iter().rev().for_each(|delta| delta.apply_to(&mut state));
    Ok(state)
}
