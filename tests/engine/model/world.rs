//! A naive store: every commit is a whole map, every name a list of where it stood. Nothing here is clever, fast, or
//! shared with the engine.

use std::collections::{BTreeMap, BTreeSet};

use memoria::error::ErrorKind;
use memoria::model::{
    Applied, Author, Change, CommitId, Erased, Expect, Memory, MemoryId, Name, NameKind, OpId, Protection, Resolution,
    Time, Verb, Version, VersionId, Write,
};

/// What is live, by memory.
pub type State = BTreeMap<MemoryId, Version>;

/// What a memory should be.
#[derive(Clone, Debug, PartialEq)]
pub enum Want {
    /// A version that was there before.
    Is(Version),
    /// A new version with every field of this.
    Exactly(Memory),
    /// A new version that says this; where it comes from is the engine's to say.
    Says(Memory),
}

/// What a state should be.
pub type Wanted = BTreeMap<MemoryId, Want>;

/// A commit, as a whole map.
#[derive(Clone, Debug)]
pub struct Past {
    pub id: CommitId,
    pub parents: Vec<usize>,
    /// Without what was erased since.
    pub state: State,
    pub author: Author,
    pub verb: Verb,
    pub at: Time,
    /// Versions added and removed when it was made.
    pub width: (u32, u32),
}

/// A name, living or deleted.
#[derive(Clone, Debug)]
pub struct Standing {
    pub kind: NameKind,
    pub protection: Protection,
    /// Since when it stood where, and `None` since it was deleted.
    pub moves: Vec<(Time, Option<usize>)>,
    pub is_deleted: bool,
    pub waiting: Option<Waiting>,
}

/// A merge in progress.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub theirs: usize,
    pub resolutions: Vec<Resolution>,
}

/// An operation whose reply is kept.
#[derive(Clone, Debug)]
pub struct Done {
    pub op: OpId,
    pub order: Order,
}

#[derive(Clone, Debug)]
pub enum Order {
    Write(Box<Write>, Box<Applied>),
    Erase(memoria::engine::Erase, Erased),
}

pub struct World {
    /// In the order in which they were made: a parent comes before its children.
    pub commits: Vec<Past>,
    pub names: BTreeMap<Name, Standing>,
    /// Every memory that was ever stored, in order, and its versions.
    pub known: Vec<MemoryId>,
    pub versions: BTreeMap<MemoryId, BTreeSet<VersionId>>,
    pub erased: BTreeSet<MemoryId>,
    /// Commits that compaction took.
    pub forgotten: BTreeSet<usize>,
    pub done: Vec<Done>,
    pub now: Time,
}

impl World {
    pub fn new(first: CommitId, author: Author, now: Time) -> Self {
        let (parents, state) = (Vec::new(), State::new());
        let init = Past { id: first, parents, state, author, verb: Verb::Init, at: Time::MIN, width: (0, 0) };
        let mut world = Self {
            commits: vec![init],
            names: BTreeMap::new(),
            known: Vec::new(),
            versions: BTreeMap::new(),
            erased: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            done: Vec::new(),
            now,
        };
        world.create(Name::main(), NameKind::Branch, 0);
        world.names.get_mut(&Name::main()).unwrap().moves[0].0 = Time::MIN;
        world
    }

    pub fn create(&mut self, name: Name, kind: NameKind, commit: usize) {
        let moves = vec![(self.now, Some(commit))];
        let standing = Standing { kind, protection: Protection::Open, moves, is_deleted: false, waiting: None };
        self.names.insert(name, standing);
    }

    pub fn living(&self, kind: Option<NameKind>) -> Vec<Name> {
        let fits = |standing: &Standing| !standing.is_deleted && kind.is_none_or(|kind| standing.kind == kind);
        self.names.iter().filter(|(_, standing)| fits(standing)).map(|(name, _)| name.clone()).collect()
    }

    pub fn is_living(&self, name: &Name) -> bool {
        self.names.get(name).is_some_and(|standing| !standing.is_deleted)
    }

    pub fn head(&self, name: &Name) -> usize {
        self.names[name].head()
    }

    pub fn state(&self, commit: usize) -> &State {
        &self.commits[commit].state
    }

    /// Where a branch stood at that time.
    pub fn at(&self, name: &Name, time: Time) -> Option<usize> {
        self.names[name].moves.iter().rev().find(|(since, _)| *since <= time)?.1
    }

    /// Itself and everything before it.
    pub fn ancestors(&self, commit: usize) -> BTreeSet<usize> {
        let (mut found, mut open) = (BTreeSet::new(), vec![commit]);
        while let Some(commit) = open.pop() {
            if found.insert(commit) {
                open.extend(&self.commits[commit].parents);
            }
        }
        found
    }

    /// Common ancestors that are behind no other.
    pub fn bases(&self, ours: usize, theirs: usize) -> BTreeSet<usize> {
        let common: BTreeSet<usize> = self.ancestors(ours).intersection(&self.ancestors(theirs)).copied().collect();
        let is_behind =
            |base: &usize| common.iter().any(|other| other != base && self.ancestors(*other).contains(base));
        common.iter().filter(|base| !is_behind(base)).copied().collect()
    }

    /// The branch's own commits, newest first.
    pub fn line(&self, commit: usize) -> Vec<usize> {
        std::iter::successors(Some(commit), |commit| self.commits[*commit].parents.first().copied()).collect()
    }

    /// What a commit changed, against that parent.
    pub fn changes(&self, commit: usize) -> BTreeMap<MemoryId, (Option<Version>, Option<Version>)> {
        let nothing = State::new();
        let before = self.commits[commit].parents.first().map_or(&nothing, |parent| self.state(*parent));
        differences(before, self.state(commit))
    }

    /// A new commit on a branch.
    pub fn commit(&mut self, branch: &Name, past: Past) -> usize {
        let number = self.commits.len();
        for (id, version) in &past.state {
            if self.versions.entry(*id).or_default().insert(version.id) && !self.known.contains(id) {
                self.known.push(*id);
            }
        }
        self.commits.push(past);
        let now = self.now;
        self.names.get_mut(branch).unwrap().moves.push((now, Some(number)));
        number
    }

    pub fn erase(&mut self, ids: &[MemoryId]) {
        for past in &mut self.commits {
            past.state.retain(|id, _| !ids.contains(id));
        }
        for merge in self.names.values_mut().filter_map(|standing| standing.waiting.as_mut()) {
            merge.resolutions.retain(|settled| !ids.contains(&settled.id));
        }
        self.erased.extend(ids);
    }

    /// What compaction takes when every deleted name is older than its grace.
    pub fn compact(&mut self) -> usize {
        self.names.retain(|_, standing| !standing.is_deleted);
        let waiting = self.names.values().filter_map(|standing| standing.waiting.as_ref().map(|merge| merge.theirs));
        let roots: Vec<usize> = self.names.values().map(Standing::head).chain(waiting).collect();
        let kept: BTreeSet<usize> = roots.iter().flat_map(|root| self.ancestors(*root)).collect();
        let before = self.forgotten.len();
        self.forgotten = (0..self.commits.len()).filter(|commit| !kept.contains(commit)).collect();
        let states = || kept.iter().flat_map(|commit| self.commits[*commit].state.values());
        let versions: BTreeSet<VersionId> = states().map(|version| version.id).collect();
        self.versions.values_mut().for_each(|own| own.retain(|version| versions.contains(version)));
        self.forgotten.len() - before
    }

    /// What a list of changes should come to on a branch: the shape of each outcome and the state afterwards, or the
    /// kind of error.
    pub fn judge(&self, branch: &Name, changes: &[Change]) -> Result<(Vec<&'static str>, Wanted), ErrorKind> {
        let head = self.state(self.head(branch));
        let mut state: BTreeMap<MemoryId, Memory> = head.iter().map(|(id, v)| (*id, v.memory.clone())).collect();
        let (mut shapes, mut written) = (Vec::new(), BTreeSet::new());
        for change in changes {
            let old = match change {
                Change::Store(_) => None,
                Change::Replace { memory: Memory { id, .. }, expect } | Change::Remove { id, expect } => {
                    if written.contains(id) {
                        return Err(ErrorKind::Invalid);
                    }
                    match (state.get(id), expect) {
                        (None, Expect::Version(_)) => return Err(ErrorKind::Conflict),
                        (Some(_), Expect::Version(version)) if head[id].id != *version => {
                            return Err(ErrorKind::Conflict);
                        }
                        (old, _) => old,
                    }
                }
            };
            shapes.push(match (change, old) {
                (Change::Store(new), _) if state.values().any(|old| is_twin(old, new)) => "existing",
                (Change::Store(new), _) => {
                    written.insert(new.id);
                    state.insert(new.id, new.clone());
                    "stored"
                }
                (_, None) => "missing",
                (Change::Replace { memory: new, .. }, Some(old)) if old.says_the_same(new) => "unchanged",
                (Change::Replace { memory: new, .. }, _) => {
                    written.insert(new.id);
                    state.insert(new.id, new.clone());
                    "replaced"
                }
                (Change::Remove { id, .. }, _) => {
                    state.remove(id);
                    "removed"
                }
            });
        }
        let want = |(id, memory): (MemoryId, Memory)| match head.get(&id) {
            Some(version) if !written.contains(&id) => (id, Want::Is(version.clone())),
            _ => (id, Want::Exactly(memory)),
        };
        Ok((shapes, state.into_iter().map(want).collect()))
    }
}

impl Standing {
    pub fn head(&self) -> usize {
        self.moves.iter().rev().find_map(|(_, commit)| *commit).unwrap()
    }
}

impl Want {
    pub fn is(&self, version: &Version) -> bool {
        matches!(self, Self::Is(own) if own.id == version.id)
    }
}

/// Equal text, project, kind and subject.
pub fn is_twin(one: &Memory, other: &Memory) -> bool {
    (&one.text, &one.project, one.kind, &one.subject) == (&other.text, &other.project, other.kind, &other.subject)
}

/// Every memory that is not the same version on both sides.
pub fn differences(before: &State, after: &State) -> BTreeMap<MemoryId, (Option<Version>, Option<Version>)> {
    let ids: BTreeSet<MemoryId> = before.keys().chain(after.keys()).copied().collect();
    let sides = ids.into_iter().map(|id| (id, (before.get(&id).cloned(), after.get(&id).cloned())));
    sides.filter(|(_, (before, after))| before.as_ref().map(|v| v.id) != after.as_ref().map(|v| v.id)).collect()
}
