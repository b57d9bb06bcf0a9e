//! What every engine promises of history, held against what is stored: each commit with the state that it makes, one
//! after another. It only reads, and remembers eight bytes of each version and of each change.

use std::collections::VecDeque;

use roaring::RoaringBitmap;

use super::graph::place_after;
use super::rows::{Body, CommitRow, Delta, KEYFRAME_CHANGES};
use super::state::replay;
use super::{Brief, Past};
use crate::error::Result;
use crate::model::{Check, Commit, VersionId};

/// What holds of feedback.
pub const FEEDBACK: &str = "What was said of memories can be read, and is of memories that there are.";
const PROBLEMS_SHOWN_MAX: usize = 20;
/// States of commits that may yet be built upon: as many branches are walked without replaying anything.
const STATES_HELD_MAX: usize = 32;
/// Commits whose versions are asked for at once.
const READ_AT_ONCE: usize = 64;

/// History as it is stored, row by row.
pub trait Stored: Past {
    /// The state that is stored for a commit.
    fn keyframe(&self, number: u32) -> Result<Option<RoaringBitmap>>;

    /// Every commit, in order. A row that cannot be read is an error for `see`.
    fn every_commit(&self, see: impl FnMut(u32, Result<CommitRow>) -> Result<()>) -> Result<()>;

    /// Every row that names a narrow commit which changed a memory, as `(memory, commit)`, in this order.
    fn every_touch(&self, see: impl FnMut(u32, u32)) -> Result<()>;

    /// How many rows there are.
    fn counts(&self) -> Result<Rows>;
}

/// Rows beside the commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    pub ids: u64,
    pub wide: u64,
    pub keyframes: u64,
}

/// A promise while it is being checked.
pub struct Checking {
    pub check: Check,
    more: u64,
}

impl Checking {
    pub fn of(promise: &str) -> Self {
        Self { check: Check { promise: promise.to_owned(), checked: 0, problems: Vec::new() }, more: 0 }
    }

    pub fn problem(&mut self, what: String) {
        if self.check.problems.len() < PROBLEMS_SHOWN_MAX {
            self.check.problems.push(what);
        } else {
            self.more += 1;
        }
    }

    pub fn claim(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.problem(otherwise());
        }
    }

    /// What cannot be read is a problem of what is being checked, and the rest is checked all the same.
    pub fn read<T>(&mut self, what: impl FnOnce() -> String, read: Result<T>) -> Option<T> {
        read.map_err(|error| self.problem(format!("{}: {error}", what()))).ok()
    }

    pub fn done(mut self) -> Check {
        if self.more > 0 {
            self.check.problems.push(format!("… and {} more", self.more));
        }
        self.check
    }
}

/// Facts about every version, gathered once, by vid.
#[derive(Default)]
pub struct Census {
    /// Length in terms.
    terms: Vec<u32>,
    /// The number of its memory.
    first: Vec<u32>,
    /// The versions that there are.
    pub known: RoaringBitmap,
}

impl Census {
    /// The next version; each has a higher vid than those before it.
    pub fn add(&mut self, vid: u32, terms: u32, first: u32) {
        self.terms.resize(vid as usize, 0);
        self.first.resize(vid as usize, 0);
        self.terms.push(terms);
        self.first.push(first);
        self.known.insert(vid);
    }

    fn memory(&self, vid: u32) -> Option<u32> {
        self.known.contains(vid).then(|| self.first[vid as usize])
    }

    fn terms_of(&self, vids: &RoaringBitmap) -> u64 {
        vids.iter().filter_map(|vid| self.terms.get(vid as usize)).map(|terms| u64::from(*terms)).sum()
    }

    /// The memories of these versions, each once.
    fn memories(&self, vids: &RoaringBitmap) -> RoaringBitmap {
        vids.iter().filter_map(|vid| self.memory(vid)).collect()
    }
}

/// A commit's state, and the memories in it.
#[derive(Clone, Default)]
struct State {
    vids: RoaringBitmap,
    memories: RoaringBitmap,
}

/// The checks of one commit after another, with the state that each makes.
struct Walk<'a, S> {
    stored: &'a S,
    census: &'a Census,
    hashes: Checking,
    states: Checking,
    keyframes: Checking,
    touches: Checking,
    /// Of the commits walked last, newest last.
    held: VecDeque<(u32, State)>,
    /// Every version that some commit adds.
    added: RoaringBitmap,
    /// The memories that each narrow commit changed.
    touched: Vec<(u32, u32)>,
    /// The commits that there are.
    known: RoaringBitmap,
    /// What the commits call for, to find rows that none of them calls for.
    rows: Rows,
}

/// Checks every commit, and says which there are.
pub fn commits(stored: &impl Stored, census: &Census) -> Result<(Vec<Check>, RoaringBitmap)> {
    let mut walk = Walk {
        stored,
        census,
        hashes: Checking::of("Every commit and every version hashes to its id, and parents come before children."),
        states: Checking::of("Every state has at most one version of a memory, and its counts are right."),
        keyframes: Checking::of("Every stored state equals the one that the commits make."),
        touches: Checking::of("The history of every memory names the commits that changed it."),
        held: VecDeque::new(),
        added: RoaringBitmap::new(),
        touched: Vec::new(),
        known: RoaringBitmap::new(),
        rows: Rows::default(),
    };
    let mut some = Vec::with_capacity(READ_AT_ONCE);
    stored.every_commit(|number, row| {
        walk.rows.ids += 1;
        walk.known.insert(number);
        walk.hashes.check.checked += 1;
        if let Some(row) = walk.hashes.read(|| format!("commit {number}"), row) {
            some.push((number, row));
        }
        if some.len() >= READ_AT_ONCE {
            walk.some(&some);
            some.clear();
        }
        Ok(())
    })?;
    walk.some(&some);
    walk.strays()?;
    Ok(([walk.hashes, walk.states, walk.keyframes, walk.touches].map(Checking::done).into(), walk.known))
}

impl<S: Stored> Walk<'_, S> {
    fn some(&mut self, commits: &[(u32, CommitRow)]) {
        let mut narrow = RoaringBitmap::new();
        for (_, row) in commits {
            if let Body::Narrow { delta, .. } = &row.body {
                narrow |= &delta.added;
                narrow |= &delta.removed;
            }
        }
        // Where one version is missing, each commit asks for its own.
        let briefs = self.stored.briefs(&narrow).unwrap_or_default();
        let briefs: Vec<(u32, Brief)> = narrow.iter().zip(briefs).collect();
        for (number, row) in commits {
            if let Err(error) = self.commit(*number, row, &briefs) {
                self.hashes.problem(format!("commit {number}: {error}"));
            }
        }
    }

    fn ids(&self, vids: &RoaringBitmap, briefs: &[(u32, Brief)]) -> Result<Vec<VersionId>> {
        let known = |vid| Some(briefs[briefs.binary_search_by_key(&vid, |(vid, _)| *vid).ok()?].1.version);
        let mut ids: Vec<VersionId> = vids.iter().filter_map(known).collect();
        if ids.len() as u64 != vids.len() {
            ids = self.stored.briefs(vids)?.into_iter().map(|brief| brief.version).collect();
        }
        ids.sort_unstable();
        Ok(ids)
    }

    fn commit(&mut self, number: u32, row: &CommitRow, briefs: &[(u32, Brief)]) -> Result<()> {
        let commit = row.bare()?;
        let delta = row.delta(|| self.stored.wide(number))?;
        let ids = [self.ids(&delta.added, briefs)?, self.ids(&delta.removed, briefs)?];
        self.hash(number, row, &commit, &delta, ids)?;
        let parent = match row.place.parents[0] {
            Some(parent) => Some((parent, self.stored.commit(parent)?)),
            None => None,
        };
        self.history(number, row, &delta);
        self.state(number, row, &delta, parent)
    }

    fn hash(
        &mut self,
        number: u32,
        row: &CommitRow,
        commit: &Commit,
        delta: &Delta,
        [added, removed]: [Vec<VersionId>; 2],
    ) -> Result<()> {
        let is_wide = matches!(row.body, Body::Wide { .. });
        self.rows.wide += u64::from(is_wide);
        self.added |= &delta.added;
        let whole = Commit { added, removed, ..commit.clone() };
        let is_same = is_wide || (whole.added == commit.added && whole.removed == commit.removed);
        self.hashes.claim(is_same, || format!("commit {number} names other versions than it changed"));
        let id = whole.id();
        self.hashes.claim(id == row.id(), || format!("commit {number} hashes to {id}, which is not its id"));
        let is_known = self.stored.number_of(id)? == Some(number);
        self.hashes.claim(is_known, || format!("commit {id} is not found by its id"));
        let parents: Vec<u32> = row.place.parents.into_iter().flatten().collect();
        let named = commit.parents.iter().map(|parent| self.stored.number_of(*parent)).collect::<Result<Vec<_>>>()?;
        let is_same = named == parents.iter().copied().map(Some).collect::<Vec<_>>();
        let is_older = parents.iter().all(|parent| *parent < number);
        self.hashes.claim(is_same && is_older, || format!("commit {number} has parents that do not exist before it"));
        Ok(())
    }

    /// Nobody else builds on a parent's state most of the time: then it is changed in place.
    fn state_of(&mut self, parent: Option<u32>) -> Result<State> {
        let Some(parent) = parent else { return Ok(State::default()) };
        if let Some(at) = self.held.iter().position(|(number, _)| *number == parent)
            && let Some((_, state)) = self.held.remove(at)
        {
            return Ok(state);
        }
        let vids = replay(|at| self.stored.commit(at), |at| self.stored.keyframe(at), parent)?;
        Ok(State { memories: self.census.memories(&vids), vids })
    }

    fn state(&mut self, number: u32, row: &CommitRow, delta: &Delta, parent: Option<(u32, CommitRow)>) -> Result<()> {
        let mut state = self.state_of(parent.as_ref().map(|(parent, _)| *parent))?;
        self.states.check.checked += 1;
        self.states
            .claim(delta.removed.is_subset(&state.vids), || format!("commit {number} removes what was not there"));
        self.states.claim(delta.added.is_disjoint(&state.vids), || format!("commit {number} adds what was there"));
        delta.apply_to(&mut state.vids);
        state.memories -= self.census.memories(&delta.removed);
        for memory in delta.added.iter().filter_map(|vid| self.census.memory(vid)) {
            let is_one = state.memories.insert(memory);
            self.states.claim(is_one, || format!("commit {number} leaves several versions of memory {memory} live"));
        }
        let before = parent.as_ref().map_or(0, |(_, row)| row.tokens);
        let tokens = (before + self.census.terms_of(&delta.added)).checked_sub(self.census.terms_of(&delta.removed));
        let is_right = u64::from(row.live) == state.vids.len() && Some(row.tokens) == tokens;
        self.states.claim(is_right, || {
            format!("commit {number} counts {} memories of {}, or miscounts their words", row.live, state.vids.len())
        });
        if let Some((parent, parent_row)) = &parent {
            let place = place_after(self.stored, *parent, parent_row.place)?;
            let is_placed = (place.depth, place.jump) == (row.place.depth, row.place.jump);
            self.states.claim(is_placed, || format!("commit {number} is misplaced in its history"));
        }
        self.keyframe(number, row, delta, parent.map_or(0, |(_, row)| row.since_keyframe), &state.vids)?;
        self.held.push_back((number, state));
        if self.held.len() > STATES_HELD_MAX {
            self.held.pop_front();
        }
        Ok(())
    }

    fn keyframe(
        &mut self,
        number: u32,
        row: &CommitRow,
        delta: &Delta,
        since: u32,
        state: &RoaringBitmap,
    ) -> Result<()> {
        let since = u64::from(since) + delta.len();
        let is_due = number == 0 || since > u64::from(KEYFRAME_CHANGES);
        let expected = if is_due { 0 } else { since };
        let is_counted = u64::from(row.since_keyframe) == expected;
        self.keyframes.claim(is_counted, || format!("commit {number} miscounts the changes since a stored state"));
        self.rows.keyframes += u64::from(is_due);
        let stored = self.stored.keyframe(number);
        let Some(stored) = self.keyframes.read(|| format!("the stored state of commit {number}"), stored) else {
            return Ok(());
        };
        self.keyframes.check.checked += u64::from(stored.is_some());
        self.keyframes.claim(stored.is_some() == is_due, || format!("a state is stored in the wrong place: {number}"));
        let is_equal = stored.is_none_or(|stored| stored == *state);
        self.keyframes.claim(is_equal, || format!("the stored state of commit {number} is another"));
        Ok(())
    }

    fn history(&mut self, number: u32, row: &CommitRow, delta: &Delta) {
        if matches!(row.body, Body::Wide { .. }) {
            return;
        }
        let memories = self.census.memories(&(&delta.added | &delta.removed));
        self.touches.check.checked += memories.len();
        self.touched.extend(memories.into_iter().map(|memory| (memory, number)));
    }

    /// Rows that no commit calls for.
    fn strays(&mut self) -> Result<()> {
        let (called, there) = (self.rows, self.stored.counts()?);
        self.hashes.claim(there.ids == called.ids, || {
            format!("{} commit ids are known for {} commits", there.ids, called.ids)
        });
        let (stored, wide) = (there.wide, called.wide);
        self.hashes.claim(stored == wide, || format!("{stored} wide changes are stored for {wide} commits"));
        let stray = &self.census.known - &self.added;
        self.hashes
            .claim(stray.is_empty(), || format!("{} versions are in no commit, first {:?}", stray.len(), stray.min()));
        let stray = there.keyframes.abs_diff(called.keyframes);
        self.keyframes.claim(stray == 0, || format!("{stray} stored states belong to no commit, or are missing"));
        self.stray_touches();
        Ok(())
    }

    /// Both in the same order, held side by side.
    fn stray_touches(&mut self) {
        self.touched.sort_unstable();
        let mut expected = self.touched.iter().copied().peekable();
        let (touches, mut stray) = (&mut self.touches, 0u64);
        let misses = |touches: &mut Checking, (memory, commit): (u32, u32)| {
            touches.problem(format!("the history of memory {memory} misses commit {commit}"));
        };
        let read = self.stored.every_touch(|memory, commit| {
            while let Some(missing) = expected.next_if(|touch| *touch < (memory, commit)) {
                misses(touches, missing);
            }
            stray += u64::from(expected.next_if_eq(&(memory, commit)).is_none());
        });
        if touches.read(|| "the histories of memories".to_owned(), read).is_some() {
            expected.for_each(|missing| misses(touches, missing));
        }
        touches.claim(stray == 0, || format!("{stray} rows name a commit that did not change the memory"));
    }
}
