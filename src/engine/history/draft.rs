//! One write, judged: what it would add and remove on the head of the moment, or why it may not. Drafting only
//! reads, so that a write that fails leaves no trace in the transaction.

use std::collections::HashMap;

use roaring::RoaringBitmap;

use super::plan::{Worked, work_out};
use super::rows::{Delta, NARROW_CHANGES_MAX, VersionRow, damaged, text_key};
use super::state::Head;
use super::{Analysed, Ground, Past};
use crate::engine::At;
use crate::error::{Error, Result};
use crate::model::{
    Change, CommitId, Counts, Expect, Memory, MemoryId, Merged, Outcome, Page, Plan, Salt, Time, Verb, VersionId,
};

/// A change with all that can be computed before the writer's turn.
pub enum Step<W> {
    Store(Box<Fresh<W>>),
    Replace(Box<Fresh<W>>, Expect),
    Remove(MemoryId, Expect),
}

/// A version that is not stored yet, with all that is made of its text.
pub struct Fresh<W> {
    pub memory: Memory,
    pub id: VersionId,
    pub salt: Salt,
    pub canonical: Vec<u8>,
    pub words: W,
    /// [`text_key`] of the memory.
    pub text: [u8; 16],
}

impl<W: Analysed> From<Change> for Step<W> {
    fn from(change: Change) -> Self {
        match change {
            Change::Store(memory) => Self::Store(Box::new(Fresh::new(memory))),
            Change::Replace { memory, expect } => Self::Replace(Box::new(Fresh::new(memory)), expect),
            Change::Remove { id, expect } => Self::Remove(id, expect),
        }
    }
}

impl<W> Step<W> {
    /// The memory that is to change.
    pub fn memory(&self) -> MemoryId {
        match self {
            Self::Store(fresh) | Self::Replace(fresh, _) => fresh.memory.id,
            Self::Remove(id, _) => *id,
        }
    }

    /// The text whose twins are asked for.
    pub fn text(&self) -> Option<[u8; 16]> {
        match self {
            Self::Store(fresh) => Some(fresh.text),
            Self::Replace(..) | Self::Remove(..) => None,
        }
    }
}

impl<W: Analysed> Fresh<W> {
    /// Draws a salt, and analyses the text.
    pub fn new(memory: Memory) -> Self {
        let (salt, canonical) = (Salt::random(), memory.encode());
        Self {
            id: Memory::version_id(&salt, &canonical),
            words: W::of(&memory.text),
            text: text_key(&memory),
            memory,
            salt,
            canonical,
        }
    }
}

/// A plan that was worked out, with all that can be looked up before the writer's turn. It holds for one head, and
/// only as long as nothing was erased or compacted.
pub struct Settled<W> {
    pub worked: Worked,
    pub upheavals: u64,
    fresh: Vec<Fresh<W>>,
    /// The ids of `worked.delta`'s versions.
    added: Vec<VersionId>,
    removed: Vec<VersionId>,
    /// The numbers of the memories that it changes; empty where the commit is wide.
    touched: Vec<u32>,
    tokens_added: u64,
    tokens_removed: u64,
}

/// Works a plan out on a head, for the writer. `upheavals` is what [`Truth::upheavals`](super::Truth::upheavals) said
/// before `past` and `at` were fixed.
pub fn settle<W: Analysed>(past: &impl Past, upheavals: u64, at: &At, plan: &Plan) -> Result<Settled<W>> {
    let mut worked = work_out(past, at, plan, Page { offset: 0, limit: 1 })?;
    let delta = &worked.delta;
    let (added, removed) = (past.version_ids(&delta.added)?, past.version_ids(&delta.removed)?);
    let mut touched = Vec::new();
    if delta.len() as usize + worked.fresh.len() <= NARROW_CHANGES_MAX {
        touched = past.memory_numbers(&(&delta.added | &delta.removed))?;
        touched.sort_unstable();
        touched.dedup();
    }
    let (tokens_added, tokens_removed) = (past.terms_of(&delta.added)?, past.terms_of(&delta.removed)?);
    let fresh = std::mem::take(&mut worked.fresh).into_iter().map(Fresh::new).collect();
    Ok(Settled { worked, upheavals, fresh, added, removed, touched, tokens_added, tokens_removed })
}

/// The result of judging: what to write.
pub struct Draft<W> {
    /// In the order of their vids, which begin at `first_vid`; each with the number of its memory.
    pub fresh: Vec<(u32, Fresh<W>)>,
    pub first_vid: u32,
    /// Existing versions that come back.
    pub added: Vec<VersionId>,
    pub removed: Vec<VersionId>,
    /// The numbers of the memories whose live version changes, each once; of a wide commit, maybe none.
    pub touched: Vec<u32>,
    pub delta: Delta,
    pub live: u32,
    pub tokens: u64,
    pub outcomes: Vec<Outcome>,
    pub counts: Counts,
    pub merged: Option<Merged>,
    pub second_parent: Option<u32>,
    pub about: Vec<CommitId>,
    /// Of a plan: some conflicts are open, and there is no commit.
    pub is_open: bool,
}

impl<W> Default for Draft<W> {
    fn default() -> Self {
        Self {
            fresh: Vec::new(),
            first_vid: 0,
            added: Vec::new(),
            removed: Vec::new(),
            touched: Vec::new(),
            delta: Delta::default(),
            live: 0,
            tokens: 0,
            outcomes: Vec::new(),
            counts: Counts::default(),
            merged: None,
            second_parent: None,
            about: Vec::new(),
            is_open: false,
        }
    }
}

impl<W> Draft<W> {
    /// Whether a commit comes of it. Of an undo always: the next one is of what was done before that.
    pub fn makes_commit(&self, verb: Verb) -> bool {
        let is_step = matches!(verb, Verb::Undo | Verb::Redo) && !self.about.is_empty();
        !self.is_open && (self.delta.len() > 0 || self.second_parent.is_some() || is_step)
    }
}

/// The head that a write is judged on.
pub struct Base<'a, G> {
    pub ground: &'a G,
    pub head: &'a Head,
    /// Versions that are live: as the commits say, and not erased since.
    pub raw: &'a RoaringBitmap,
    pub erased: &'a RoaringBitmap,
    pub next_vid: u32,
    pub at: Time,
}

impl<G: Ground> Base<'_, G> {
    fn is_live(&self, vid: u32) -> bool {
        self.raw.contains(vid) && !self.erased.contains(vid)
    }
}

/// What this write has done to a memory so far.
enum Done {
    Written,
    Removed,
}

struct Drafting<'a, G: Ground> {
    base: &'a Base<'a, G>,
    done: HashMap<MemoryId, Done>,
    texts: HashMap<[u8; 16], (MemoryId, VersionId)>,
    draft: Draft<G::Words>,
}

/// What changes come to, each with its precondition.
pub fn draft<G: Ground>(base: &Base<G>, steps: Vec<Step<G::Words>>) -> Result<Draft<G::Words>> {
    base.ground.prepare(steps.iter().map(Step::memory), steps.iter().filter_map(Step::text))?;
    let draft = Draft {
        first_vid: base.next_vid,
        live: base.head.live,
        tokens: base.head.tokens,
        outcomes: Vec::with_capacity(steps.len()),
        ..Draft::default()
    };
    let mut drafting = Drafting { base, done: HashMap::new(), texts: HashMap::new(), draft };
    for step in steps {
        let outcome = match step {
            Step::Store(fresh) => drafting.store(*fresh)?,
            Step::Replace(fresh, expect) => drafting.replace(*fresh, expect)?,
            Step::Remove(id, expect) => drafting.remove(id, expect)?,
        };
        let counts = &mut drafting.draft.counts;
        match outcome {
            Outcome::Stored { .. } => counts.added += 1,
            Outcome::Replaced { .. } => counts.changed += 1,
            Outcome::Removed { .. } => counts.removed += 1,
            Outcome::Existing { .. } | Outcome::Unchanged { .. } | Outcome::Missing { .. } => {}
        }
        drafting.draft.outcomes.push(outcome);
    }
    let mut draft = drafting.draft;
    draft.touched.sort_unstable();
    draft.touched.dedup();
    Ok(draft)
}

/// What a settled plan comes to on its head.
pub fn draft_plan<G: Ground>(base: &Base<G>, settled: Settled<G::Words>) -> Result<Draft<G::Words>> {
    let Settled { worked, fresh, added, removed, touched, tokens_added, tokens_removed, .. } = settled;
    let is_open = !worked.planned.conflicts.is_empty();
    let (counts, merged) = (worked.planned.counts, worked.planned.merged);
    if is_open {
        return Ok(Draft { counts, merged, is_open, ..Draft::default() });
    }
    let mut draft = Draft {
        first_vid: base.next_vid,
        live: (base.head.live + worked.delta.added.len() as u32).saturating_sub(worked.delta.removed.len() as u32),
        tokens: (base.head.tokens + tokens_added).saturating_sub(tokens_removed),
        delta: worked.delta,
        added,
        removed,
        touched,
        counts,
        merged,
        second_parent: worked.second_parent,
        about: worked.about,
        ..Draft::default()
    };
    base.ground.prepare(fresh.iter().map(|fresh| fresh.memory.id), std::iter::empty())?;
    for fresh in fresh {
        let number = base.ground.vids_of(&fresh.memory.id)?.first().copied();
        draft.add(number, fresh)?;
    }
    draft.touched.sort_unstable();
    draft.touched.dedup();
    Ok(draft)
}

impl<W: Analysed> Draft<W> {
    /// A new version, of the memory with that number or of a new one.
    fn add(&mut self, number: Option<u32>, fresh: Fresh<W>) -> Result<()> {
        let vid = u32::try_from(self.fresh.len()).ok().and_then(|len| self.first_vid.checked_add(len));
        // The last number stays unused: it means "none" elsewhere.
        let vid = vid.filter(|vid| *vid < u32::MAX).ok_or_else(|| {
            Error::too_large("the store has handed out all of its 4 billion version numbers: export it and import anew")
        })?;
        let number = number.unwrap_or(vid);
        self.delta.added.insert(vid);
        self.live += 1;
        self.tokens += u64::from(fresh.words.terms());
        self.touched.push(number);
        self.fresh.push((number, fresh));
        Ok(())
    }
}

impl<G: Ground> Drafting<'_, G> {
    fn store(&mut self, fresh: Fresh<G::Words>) -> Result<Outcome> {
        let id = fresh.memory.id;
        if self.done.contains_key(&id) || !self.base.ground.vids_of(&id)?.is_empty() {
            return Err(Error::conflict(format!("memory {id} is there already: correct it, or store under a new id")));
        }
        if let Some((id, version)) = self.twin(&fresh)? {
            return Ok(Outcome::Existing { id, version });
        }
        let version = self.add(None, fresh)?;
        Ok(Outcome::Stored { id, version })
    }

    fn replace(&mut self, fresh: Fresh<G::Words>, expect: Expect) -> Result<Outcome> {
        let id = fresh.memory.id;
        let Some(vid) = self.live(id, expect)? else {
            return Ok(Outcome::Missing { id });
        };
        let (before, terms, number, is_same) = self
            .base
            .ground
            .version(vid, |row| Ok((row.id(), row.terms(), row.first(), whole(row)?.says_the_same(&fresh.memory))))?;
        expected(id, expect, before)?;
        if is_same {
            return Ok(Outcome::Unchanged { id, version: before });
        }
        self.take_out(vid, before, terms, number);
        let after = self.add(Some(number), fresh)?;
        Ok(Outcome::Replaced { id, before, after })
    }

    fn remove(&mut self, id: MemoryId, expect: Expect) -> Result<Outcome> {
        let Some(vid) = self.live(id, expect)? else {
            return Ok(Outcome::Missing { id });
        };
        let (version, terms, number) = self.base.ground.version(vid, |row| Ok((row.id(), row.terms(), row.first())))?;
        expected(id, expect, version)?;
        self.take_out(vid, version, terms, number);
        self.done.insert(id, Done::Removed);
        Ok(Outcome::Removed { id, version })
    }

    /// The live version of a memory; `None` only where a missing one is no conflict.
    fn live(&self, id: MemoryId, expect: Expect) -> Result<Option<u32>> {
        let vid = match self.done.get(&id) {
            Some(Done::Written) => {
                return Err(Error::invalid(format!("one write may change memory {id} only once: send two writes")));
            }
            Some(Done::Removed) => None,
            None => self.base.ground.vids_of(&id)?.into_iter().find(|vid| self.base.is_live(*vid)),
        };
        match (vid, expect) {
            (None, Expect::Version(_)) => Err(changed(id)),
            (vid, _) => Ok(vid),
        }
    }

    /// A live memory of equal text, project, kind and subject. An expired one does not stand in for a new one.
    fn twin(&self, fresh: &Fresh<G::Words>) -> Result<Option<(MemoryId, VersionId)>> {
        if let Some(twin) = self.texts.get(&fresh.text) {
            return Ok(Some(*twin));
        }
        let Base { ground, at, .. } = *self.base;
        for vid in ground.twins(&fresh.text)? {
            if !self.base.is_live(vid) || self.draft.delta.removed.contains(vid) {
                continue;
            }
            let (memory, version) = ground.version(vid, |row| Ok((whole(row)?, row.id())))?;
            if !memory.is_expired_at(at) && text_key(&memory) == fresh.text {
                return Ok(Some((memory.id, version)));
            }
        }
        Ok(None)
    }

    fn add(&mut self, number: Option<u32>, fresh: Fresh<G::Words>) -> Result<VersionId> {
        let (id, version, text) = (fresh.memory.id, fresh.id, fresh.text);
        self.draft.add(number, fresh)?;
        self.texts.insert(text, (id, version));
        self.done.insert(id, Done::Written);
        Ok(version)
    }

    fn take_out(&mut self, vid: u32, version: VersionId, terms: u32, number: u32) {
        let draft = &mut self.draft;
        draft.delta.removed.insert(vid);
        draft.removed.push(version);
        draft.touched.push(number);
        draft.live = draft.live.saturating_sub(1);
        draft.tokens = draft.tokens.saturating_sub(u64::from(terms));
    }
}

fn expected(id: MemoryId, expect: Expect, live: VersionId) -> Result<()> {
    match expect {
        Expect::Version(version) if version != live => Err(changed(id)),
        _ => Ok(()),
    }
}

fn changed(id: MemoryId) -> Error {
    Error::conflict(format!("memory {id} was changed by somebody else meanwhile: read it again, then repeat"))
}

/// What is live is whole.
fn whole(row: &VersionRow) -> Result<Memory> {
    row.memory()?.ok_or_else(|| damaged("a live version was erased"))
}
