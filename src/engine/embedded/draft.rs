//! One write, judged: what it would add and remove on the head of the moment, or why it may not. Drafting only
//! reads, so that a write that fails leaves no trace in the transaction.

use std::collections::HashMap;

use redb::ReadableTable;
use roaring::RoaringBitmap;

use super::index::{Words, text_key};
use super::plan::Worked;
use super::store::Store;
use super::tables::{self, Delta, NARROW_CHANGES_MAX, VERSIONS, VersionRow};
use super::writer::{Recent, Tables};
use crate::engine::At;
use crate::error::{Error, Result};
use crate::model::{
    Change, CommitId, Counts, Expect, Memory, MemoryId, Merged, Outcome, Page, Plan, Salt, Time, Verb, VersionId,
};

/// Versions whose rows are read for their lengths; of more, the columns.
const LENGTHS_READ_MAX: u64 = 64;

/// A change with all that can be computed before the writer's turn.
pub enum Step {
    Store(Box<Fresh>),
    Replace(Box<Fresh>, Expect),
    Remove(MemoryId, Expect),
}

/// A version that is not stored yet, with all that is made of its text.
pub struct Fresh {
    pub memory: Memory,
    pub id: VersionId,
    pub salt: Salt,
    pub canonical: Vec<u8>,
    pub words: Words,
    pub text: [u8; 16],
}

impl From<Change> for Step {
    fn from(change: Change) -> Self {
        match change {
            Change::Store(memory) => Self::Store(Box::new(Fresh::new(memory))),
            Change::Replace { memory, expect } => Self::Replace(Box::new(Fresh::new(memory)), expect),
            Change::Remove { id, expect } => Self::Remove(id, expect),
        }
    }
}

impl Fresh {
    pub fn new(memory: Memory) -> Self {
        let (salt, canonical) = (Salt::random(), memory.encode());
        Self {
            id: Memory::version_id(&salt, &canonical),
            words: Words::of(&memory.text),
            text: text_key(&memory),
            memory,
            salt,
            canonical,
        }
    }
}

/// A plan that was worked out, with all that can be looked up before the writer's turn. It holds for one head, and
/// only as long as nothing was erased or compacted.
pub struct Settled {
    pub worked: Worked,
    pub upheavals: u64,
    fresh: Vec<Fresh>,
    /// The ids of `worked.delta`'s versions.
    added: Vec<VersionId>,
    removed: Vec<VersionId>,
    /// The numbers of the memories that it changes; empty where the commit is wide.
    touched: Vec<u32>,
    tokens_added: u64,
    tokens_removed: u64,
}

impl Store {
    /// Works a plan out on a head, for the writer. Blocks as long as that takes.
    pub(super) fn settle(&self, at: &At, plan: &Plan) -> Result<Settled> {
        let upheavals = self.upheavals();
        let mut worked = self.work_out(at, plan, Page { offset: 0, limit: 1 })?;
        let delta = &worked.delta;
        let ids = |vids: &RoaringBitmap| self.mending(|| self.index.version_ids(vids));
        let (added, removed) = (ids(&delta.added)?, ids(&delta.removed)?);
        let mut touched = Vec::new();
        if delta.len() as usize + worked.fresh.len() <= NARROW_CHANGES_MAX {
            touched = self.mending(|| self.index.memory_numbers(&(&delta.added | &delta.removed)))?;
            touched.sort_unstable();
            touched.dedup();
        }
        let (tokens_added, tokens_removed) = (self.tokens_of(&delta.added)?, self.tokens_of(&delta.removed)?);
        let fresh = std::mem::take(&mut worked.fresh).into_iter().map(Fresh::new).collect();
        Ok(Settled { worked, upheavals, fresh, added, removed, touched, tokens_added, tokens_removed })
    }

    fn tokens_of(&self, vids: &RoaringBitmap) -> Result<u64> {
        // Many are array reads; for a few the arrays are not brought to memory.
        if vids.len() > LENGTHS_READ_MAX {
            return self.mending(|| self.index.terms_of(vids));
        }
        let versions = self.snapshot()?.open(VERSIONS)?;
        let (mut tokens, mut found) = (0, 0);
        let mut vids_left = vids.iter();
        // Neighbours are read in one go: a commit's versions mostly stand together.
        while let Some(range) = vids_left.next_range() {
            for row in versions.range(range)? {
                tokens += u64::from(VersionRow::decode(row?.1.value())?.terms());
                found += 1;
            }
        }
        if found == vids.len() { Ok(tokens) } else { Err(tables::damaged("versions of a commit are missing")) }
    }
}

/// The result of judging: what to write.
#[derive(Default)]
pub struct Draft {
    /// In the order of their vids, which begin at `first_vid`; each with the number of its memory.
    pub fresh: Vec<(u32, Fresh)>,
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

impl Draft {
    /// Whether a commit comes of it. Of an undo always: the next one is of what was done before that.
    pub fn makes_commit(&self, verb: Verb) -> bool {
        let is_step = matches!(verb, Verb::Undo | Verb::Redo) && !self.about.is_empty();
        !self.is_open && (self.delta.len() > 0 || self.second_parent.is_some() || is_step)
    }
}

/// The head that a write is judged on.
pub struct Ground<'a, 't> {
    pub store: &'a Store,
    pub tables: &'a Tables<'t>,
    pub recent: &'a Recent,
    /// Versions that are live: as the commits say, and not erased since.
    pub raw: &'a RoaringBitmap,
    pub erased: &'a RoaringBitmap,
    pub live: u32,
    pub tokens: u64,
    pub next_vid: u32,
    pub at: Time,
}

impl Ground<'_, '_> {
    fn is_live(&self, vid: u32) -> bool {
        self.raw.contains(vid) && !self.erased.contains(vid)
    }

    /// Every version of a memory, rising.
    fn vids_of(&self, id: &MemoryId) -> Result<Vec<u32>> {
        let mut vids = self.store.mending(|| self.store.index.vids_of(id))?;
        vids.extend(self.recent.vids_of(id));
        Ok(vids)
    }

    fn version<T>(&self, vid: u32, read: impl FnOnce(&VersionRow) -> Result<T>) -> Result<T> {
        match self.tables.versions.get(vid)? {
            Some(row) => read(&VersionRow::decode(row.value())?),
            None => Err(tables::damaged(&format!("version {vid} is missing"))),
        }
    }
}

/// What this write has done to a memory so far.
enum Done {
    Written,
    Removed,
}

struct Drafting<'a, 't> {
    ground: &'a Ground<'a, 't>,
    done: HashMap<MemoryId, Done>,
    texts: HashMap<[u8; 16], (MemoryId, VersionId)>,
    draft: Draft,
}

/// What changes come to, each with its precondition.
pub fn draft(ground: &Ground, steps: Vec<Step>) -> Result<Draft> {
    let draft = Draft {
        first_vid: ground.next_vid,
        live: ground.live,
        tokens: ground.tokens,
        outcomes: Vec::with_capacity(steps.len()),
        ..Draft::default()
    };
    let mut drafting = Drafting { ground, done: HashMap::new(), texts: HashMap::new(), draft };
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
pub fn draft_plan(ground: &Ground, settled: Settled) -> Result<Draft> {
    let Settled { worked, fresh, added, removed, touched, tokens_added, tokens_removed, .. } = settled;
    let is_open = !worked.planned.conflicts.is_empty();
    let (counts, merged) = (worked.planned.counts, worked.planned.merged);
    if is_open {
        return Ok(Draft { counts, merged, is_open, ..Draft::default() });
    }
    let mut draft = Draft {
        first_vid: ground.next_vid,
        live: (ground.live + worked.delta.added.len() as u32).saturating_sub(worked.delta.removed.len() as u32),
        tokens: (ground.tokens + tokens_added).saturating_sub(tokens_removed),
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
    for fresh in fresh {
        let number = ground.vids_of(&fresh.memory.id)?.first().copied();
        draft.add(number, fresh)?;
    }
    draft.touched.sort_unstable();
    draft.touched.dedup();
    Ok(draft)
}

impl Draft {
    /// A new version, of the memory with that number or of a new one.
    fn add(&mut self, number: Option<u32>, fresh: Fresh) -> Result<()> {
        let vid = u32::try_from(self.fresh.len()).ok().and_then(|len| self.first_vid.checked_add(len));
        // The last number stays unused: it means "none" elsewhere.
        let vid = vid.filter(|vid| *vid < u32::MAX).ok_or_else(|| {
            Error::too_large("the store has handed out all of its 4 billion version numbers: export it and import anew")
        })?;
        let number = number.unwrap_or(vid);
        self.delta.added.insert(vid);
        self.live += 1;
        self.tokens += u64::from(fresh.words.len);
        self.touched.push(number);
        self.fresh.push((number, fresh));
        Ok(())
    }
}

impl Drafting<'_, '_> {
    fn store(&mut self, fresh: Fresh) -> Result<Outcome> {
        let id = fresh.memory.id;
        if self.done.contains_key(&id) || !self.ground.vids_of(&id)?.is_empty() {
            return Err(Error::conflict(format!("memory {id} is there already: correct it, or store under a new id")));
        }
        if let Some((id, version)) = self.twin(&fresh)? {
            return Ok(Outcome::Existing { id, version });
        }
        let version = self.add(None, fresh)?;
        Ok(Outcome::Stored { id, version })
    }

    fn replace(&mut self, fresh: Fresh, expect: Expect) -> Result<Outcome> {
        let id = fresh.memory.id;
        let Some(vid) = self.live(id, expect)? else {
            return Ok(Outcome::Missing { id });
        };
        let (before, terms, number, is_same) = self
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
        let (version, terms, number) = self.ground.version(vid, |row| Ok((row.id(), row.terms(), row.first())))?;
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
            None => self.ground.vids_of(&id)?.into_iter().find(|vid| self.ground.is_live(*vid)),
        };
        match (vid, expect) {
            (None, Expect::Version(_)) => Err(changed(id)),
            (vid, _) => Ok(vid),
        }
    }

    /// A live memory of equal text, project, kind and subject. An expired one does not stand in for a new one.
    fn twin(&self, fresh: &Fresh) -> Result<Option<(MemoryId, VersionId)>> {
        if let Some(twin) = self.texts.get(&fresh.text) {
            return Ok(Some(*twin));
        }
        let ground = self.ground;
        let mut vids = ground.store.mending(|| ground.store.index.twins(&fresh.text))?;
        vids.extend(ground.recent.twins(&fresh.text));
        for vid in vids {
            if !ground.is_live(vid) || self.draft.delta.removed.contains(vid) {
                continue;
            }
            let (memory, version) = ground.version(vid, |row| Ok((whole(row)?, row.id())))?;
            if !memory.is_expired_at(ground.at) && text_key(&memory) == fresh.text {
                return Ok(Some((memory.id, version)));
            }
        }
        Ok(None)
    }

    fn add(&mut self, number: Option<u32>, fresh: Fresh) -> Result<VersionId> {
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
    row.memory()?.ok_or_else(|| tables::damaged("a live version was erased"))
}
