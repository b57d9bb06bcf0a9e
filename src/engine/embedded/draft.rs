//! One write, judged: what it would add and remove on the head of the moment, or why it may not. Drafting only
//! reads, so that a write that fails leaves no trace in the transaction.

use std::collections::HashMap;

use redb::ReadableTable;

use super::index::text_key;
use super::store::Head;
use super::tables::{Delta, VersionRow, numbers_of};
use super::writer::Tables;
use crate::error::{Error, Result};
use crate::lexical;
use crate::model::{Change, Expect, Memory, MemoryId, Outcome, Salt, Time, VersionId};

/// A change with all that can be computed before the writer's turn.
pub enum Step {
    Store(Box<Fresh>),
    Replace(Box<Fresh>, Expect),
    Remove(MemoryId, Expect),
}

/// A version that is not stored yet.
pub struct Fresh {
    pub memory: Memory,
    pub id: VersionId,
    pub salt: Salt,
    pub canonical: Vec<u8>,
    pub terms: u32,
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
    fn new(memory: Memory) -> Self {
        let (salt, canonical) = (Salt::random(), memory.encode());
        Self {
            id: Memory::version_id(&salt, &canonical),
            terms: lexical::analyse(&memory.text).len,
            text: text_key(&memory),
            memory,
            salt,
            canonical,
        }
    }
}

/// The result of judging: what to write.
pub struct Draft {
    /// In the order of their vids.
    pub fresh: Vec<(u32, Fresh)>,
    pub removed: Vec<VersionId>,
    /// The memories whose live version changes, each once.
    pub touched: Vec<MemoryId>,
    pub delta: Delta,
    pub live: u32,
    pub tokens: u64,
    pub outcomes: Vec<Outcome>,
}

/// What this write has done to a memory so far.
enum Done {
    Written,
    Removed,
}

struct Drafting<'a, 't> {
    tables: &'a Tables<'t>,
    head: &'a Head,
    at: Time,
    next_vid: u32,
    done: HashMap<MemoryId, Done>,
    texts: HashMap<[u8; 16], (MemoryId, VersionId)>,
    draft: Draft,
}

pub fn draft(tables: &Tables, head: &Head, next_vid: u32, at: Time, steps: Vec<Step>) -> Result<Draft> {
    let draft = Draft {
        fresh: Vec::new(),
        removed: Vec::new(),
        touched: Vec::new(),
        delta: Delta::default(),
        live: head.live,
        tokens: head.tokens,
        outcomes: Vec::with_capacity(steps.len()),
    };
    let (done, texts) = (HashMap::new(), HashMap::new());
    let mut drafting = Drafting { tables, head, at, next_vid, done, texts, draft };
    for step in steps {
        let outcome = match step {
            Step::Store(fresh) => drafting.store(*fresh)?,
            Step::Replace(fresh, expect) => drafting.replace(*fresh, expect)?,
            Step::Remove(id, expect) => drafting.remove(id, expect)?,
        };
        drafting.draft.outcomes.push(outcome);
    }
    drafting.draft.touched = drafting.done.into_keys().collect();
    Ok(drafting.draft)
}

impl Drafting<'_, '_> {
    fn store(&mut self, fresh: Fresh) -> Result<Outcome> {
        let id = fresh.memory.id;
        if self.done.contains_key(&id) || !numbers_of(&self.tables.memories, &id.0)?.is_empty() {
            return Err(Error::conflict(format!("memory {id} is there already: correct it, or store under a new id")));
        }
        if let Some((id, version)) = self.twin(&fresh)? {
            return Ok(Outcome::Existing { id, version });
        }
        let version = self.add(fresh)?;
        Ok(Outcome::Stored { id, version })
    }

    fn replace(&mut self, fresh: Fresh, expect: Expect) -> Result<Outcome> {
        let id = fresh.memory.id;
        let Some(vid) = self.live(id, expect)? else {
            return Ok(Outcome::Missing { id });
        };
        let (before, terms, is_same) =
            self.version(vid, |row| Ok((row.id(), row.terms(), whole(row)?.says_the_same(&fresh.memory))))?;
        expected(id, expect, before)?;
        if is_same {
            return Ok(Outcome::Unchanged { id, version: before });
        }
        self.take_out(vid, before, terms);
        let after = self.add(fresh)?;
        Ok(Outcome::Replaced { id, before, after })
    }

    fn remove(&mut self, id: MemoryId, expect: Expect) -> Result<Outcome> {
        let Some(vid) = self.live(id, expect)? else {
            return Ok(Outcome::Missing { id });
        };
        let (version, terms) = self.version(vid, |row| Ok((row.id(), row.terms())))?;
        expected(id, expect, version)?;
        self.take_out(vid, version, terms);
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
            None => {
                let vids = numbers_of(&self.tables.memories, &id.0)?;
                vids.into_iter().find(|vid| self.head.state.contains(*vid))
            }
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
        for vid in numbers_of(&self.tables.texts, &fresh.text)? {
            if !self.head.state.contains(vid) || self.draft.delta.removed.contains(vid) {
                continue;
            }
            let (memory, version) = self.version(vid, |row| Ok((whole(row)?, row.id())))?;
            if !memory.is_expired_at(self.at) {
                return Ok(Some((memory.id, version)));
            }
        }
        Ok(None)
    }

    fn version<T>(&self, vid: u32, read: impl FnOnce(&VersionRow) -> Result<T>) -> Result<T> {
        match self.tables.versions.get(vid)? {
            Some(row) => read(&VersionRow::decode(row.value())?),
            None => Err(super::tables::damaged(&format!("version {vid} is missing"))),
        }
    }

    fn add(&mut self, fresh: Fresh) -> Result<VersionId> {
        let (id, version, vid) = (fresh.memory.id, fresh.id, self.next_vid);
        // The last number stays unused: it means "none" elsewhere.
        self.next_vid = vid.checked_add(1).ok_or_else(|| {
            Error::too_large("the store has handed out all of its 4 billion version numbers: export it and import anew")
        })?;
        self.texts.insert(fresh.text, (id, version));
        self.done.insert(id, Done::Written);
        self.draft.delta.added.insert(vid);
        self.draft.live += 1;
        self.draft.tokens += u64::from(fresh.terms);
        self.draft.fresh.push((vid, fresh));
        Ok(version)
    }

    fn take_out(&mut self, vid: u32, version: VersionId, terms: u32) {
        self.draft.delta.removed.insert(vid);
        self.draft.removed.push(version);
        self.draft.live = self.draft.live.saturating_sub(1);
        self.draft.tokens = self.draft.tokens.saturating_sub(u64::from(terms));
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
    row.memory()?.ok_or_else(|| super::tables::damaged("a live version was erased"))
}
