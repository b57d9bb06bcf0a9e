//! Each action, done: on the engine, and as the model has it. `reshape` has those that work on history.

use std::collections::{BTreeMap, BTreeSet};

use memoria::engine::conformance::samples;
use memoria::engine::{Engine, Erase};
use memoria::error::ErrorKind;
use memoria::model::{
    Change, CommitId, Expect, Memory, MemoryId, Name, NameChange, NameKind, ProjectId, Protection, Source, Trust, Verb,
    VersionId, Work, Write,
};
use proptest::prelude::*;

use super::action::{Action, Edit, Expected, Naming, Said, Step, Turn, Where};
use super::bench::{Bench, Reply, Sent, applied, ask, fault};
use super::compare::{self, Heads, WORDS, locate};
use super::plans::{fields, wanted};
use super::world::{Done, Order, World};
use super::{Checked, met, met_often};

/// More branches than this make nothing rarer likelier.
const BRANCHES_MAX: usize = 6;

impl Bench {
    /// A few memories, and a branch for each session: sides that can meet.
    pub async fn begin(&mut self) -> Checked {
        let said = (0..4).map(|text| Said { text, project: 0, tags: text, metadata: text, is_tool: text == 3 });
        let steps = said.map(Step::Store).collect();
        self.take(Turn { session: 0, action: Action::Write { steps, safety: false } }).await?;
        for session in 1..3 {
            self.take(Turn { session, action: Action::Branch { from: Where::Branch(0) } }).await?;
        }
        Ok(())
    }

    pub async fn take(&mut self, turn: Turn) -> Checked {
        let Turn { session, action } = turn;
        self.world.now = self.world.now.plus_ms((self.made % 3) as i64);
        if !self.world.is_living(&self.sessions[session].branch) {
            self.sessions[session].branch = Name::main();
        }
        let is_everybody_s = matches!(
            action,
            Action::Erase(_) | Action::Compact | Action::Reopen { .. } | Action::Rest | Action::Name { .. }
        ) || self.crash_at.is_some();
        match action {
            Action::Write { steps, safety } => {
                let changes = steps.iter().filter_map(|step| self.step(session, step)).collect();
                let write = self.write(session, Verb::Store, Work::Changes(changes));
                self.change(session, safe(write, safety)).await?;
            }
            Action::Branch { from } => self.create(session, NameKind::Branch, from).await?,
            Action::Snapshot { at } => self.create(session, NameKind::Snapshot, at).await?,
            Action::Name { name, what } => self.rename(session, name, what).await?,
            Action::Checkout(n) => {
                let branches = self.world.living(Some(NameKind::Branch));
                self.sessions[session].branch = branches[n % branches.len()].clone();
            }
            Action::Resolve { is_all, .. } => {
                self.merging(session, action).await?;
                // What is settled whole is mostly wanted.
                if is_all {
                    self.merging(session, Action::Conclude).await?;
                }
            }
            Action::Merge { .. } | Action::Conclude | Action::Abort => {
                self.merging(session, action).await?;
            }
            Action::Pick { .. } | Action::PickCommit { .. } | Action::Apply { .. } => {
                self.pick(session, action).await?
            }
            Action::Reset(_) | Action::RollBack { .. } | Action::Revert { .. } | Action::RevertMerge => {
                self.go_back(session, action).await?;
            }
            Action::Cross { other, rule } => self.cross(session, other, rule).await?,
            Action::Undo { is_redone } => {
                self.undo(session, true).await?;
                if is_redone {
                    self.undo(session, false).await?;
                }
            }
            Action::Redo => self.undo(session, false).await?,
            Action::SendAgain(n) => self.send_again(n).await?,
            Action::Acknowledge(n) => self.acknowledge(n).await?,
            Action::Erase(memories) => self.erase(session, &memories).await?,
            Action::Compact => self.compact().await?,
            Action::Reopen { is_index_lost } => {
                if is_index_lost {
                    self.engine().rest().await.map_err(fault)?;
                    met("index lost");
                }
                self.reopen(is_index_lost)?;
            }
            Action::Crash(at_step) => self.crash_at = Some(at_step),
            Action::Rest => self.engine().rest().await.map_err(fault)?,
        }
        compare::everything(self, if is_everybody_s { Heads::All } else { Heads::Of(session) }).await
    }

    pub async fn end(mut self) -> Checked {
        for check in self.engine().verify().await.map_err(fault)? {
            prop_assert!(check.problems.is_empty(), "{:?}", check);
        }
        self.reopen(true)?;
        compare::everything(&mut self, Heads::All).await
    }

    pub fn branch(&self, session: usize) -> Name {
        self.sessions[session].branch.clone()
    }

    pub fn head(&self, session: usize) -> usize {
        self.world.head(&self.sessions[session].branch)
    }

    fn memory(&mut self, session: usize, said: &Said) -> Memory {
        let mut memory = samples::memory(&text(said.text));
        let now = self.world.now;
        (memory.id, memory.created_at, memory.observed_at) = (self.fresh_id(), now, now);
        memory.project = (said.project > 0).then(|| ProjectId::new(format!("project {}", said.project)).unwrap());
        memory.tags = (0..3).filter(|n| said.tags & 1 << n != 0).map(tag).collect();
        memory.metadata = metadata([(0, said.metadata % 3), (1, said.metadata / 3)]);
        memory.origin.agent = self.sessions[session].author.agent.clone();
        if said.is_tool {
            (memory.origin.source, memory.origin.tool) = (Source::Tool, Some("grep".into()));
        }
        memory
    }

    /// Mostly one that is live on the session's branch.
    fn some_memory(&self, session: usize, n: usize) -> Option<MemoryId> {
        let live: Vec<MemoryId> = self.world.state(self.head(session)).keys().copied().collect();
        let list = if n.is_multiple_of(5) || live.is_empty() { &self.world.known } else { &live };
        (!list.is_empty()).then(|| list[n / 5 % list.len()])
    }

    fn step(&mut self, session: usize, step: &Step) -> Option<Change> {
        let expect = |id: MemoryId, expected: Expected| match (expected, self.world.state(self.head(session)).get(&id))
        {
            (Expected::Live, _) => Expect::Live,
            (Expected::Seen, Some(version)) => Expect::Version(version.id),
            (Expected::Seen | Expected::Stale, _) => Expect::Version(VersionId([3; 32])),
        };
        Some(match step {
            Step::Store(said) => Change::Store(self.memory(session, said)),
            Step::Purge { memory, expect: expected } => {
                let id = self.some_memory(session, *memory)?;
                Change::Remove { id, expect: expect(id, *expected) }
            }
            Step::Correct { memory, edit, expect: expected } => {
                let id = self.some_memory(session, *memory)?;
                let expect = expect(id, *expected);
                let live = self.world.state(self.head(session)).get(&id).map(|version| version.memory.clone());
                let old = live.unwrap_or_else(|| Memory { id, ..samples::memory("never was") });
                let memory = Memory { observed_at: self.world.now, ..edited(old, *edit) };
                Change::Replace { memory, expect }
            }
        })
    }

    /// A write that does nothing but this to the names.
    async fn name(&mut self, session: usize, change: NameChange, refused: Option<ErrorKind>) -> Checked<bool> {
        let mut write = self.write(session, Verb::Store, Work::Changes(vec![]));
        (write.branch, write.names) = (Name::main(), vec![change.clone()]);
        let op = samples::op();
        let reply = self.send(op, &Sent::Write(Box::new(write.clone()))).await?;
        if let Some(kind) = refused {
            prop_assert_eq!(reply.map_err(|error| error.kind), Err(kind), "{:?}", change);
            return Ok(false);
        }
        let applied = applied(reply)?;
        prop_assert_eq!(applied.names.len(), 1);
        self.world.done.push(Done { op, order: Order::Write(Box::new(write), Box::new(applied)) });
        Ok(true)
    }

    async fn create(&mut self, session: usize, kind: NameKind, from: Where) -> Checked {
        let is_branch = kind == NameKind::Branch;
        if is_branch && self.world.living(Some(kind)).len() >= BRANCHES_MAX {
            return Ok(());
        }
        let commit = locate(self, from).await?;
        let name: Name = format!("{}{}", if is_branch { "branch" } else { "snap" }, self.number()).parse().unwrap();
        let change = NameChange::Create { name: name.clone(), kind, commit: self.world.commits[commit].id, note: None };
        self.name(session, change, None).await?;
        self.world.create(name.clone(), kind, commit);
        if is_branch {
            self.sessions[session].branch = name;
        }
        Ok(())
    }

    async fn rename(&mut self, session: usize, n: usize, what: Naming) -> Checked {
        let is_deleted = matches!(what, Naming::Restore);
        let fits = |name: &&Name| self.world.names[*name].is_deleted == is_deleted;
        let names: Vec<Name> = self.world.names.keys().filter(fits).cloned().collect();
        let Some(name) = names.get(n % names.len().max(1)).cloned() else { return Ok(()) };
        let Standing { kind, protection } = Standing::of(&self.world, &name);
        let is_held = name == Name::main() || protection == Protection::MergesOnly;
        match what {
            Naming::Rename => {
                let new: Name = format!("renamed{}", self.number()).parse().unwrap();
                let change = NameChange::Rename { name: name.clone(), new: new.clone() };
                let refused = (name == Name::main()).then_some(ErrorKind::Denied);
                if self.name(session, change, refused).await? {
                    let standing = self.world.names.remove(&name).unwrap();
                    self.world.names.insert(new.clone(), standing);
                    for session in &mut self.sessions {
                        let own = [&mut session.done, &mut session.undone].into_iter().flatten().map(|(name, _)| name);
                        own.chain([&mut session.branch]).filter(|own| **own == name).for_each(|own| *own = new.clone());
                    }
                }
            }
            Naming::Delete => {
                let refused = is_held.then_some(ErrorKind::Denied);
                if self.name(session, NameChange::Delete { name: name.clone() }, refused).await? {
                    let standing = self.world.names.get_mut(&name).unwrap();
                    (standing.is_deleted, standing.waiting) = (true, None);
                    standing.moves.push((self.world.now, None));
                }
            }
            Naming::Restore => {
                self.name(session, NameChange::Restore { name: name.clone() }, None).await?;
                let standing = self.world.names.get_mut(&name).unwrap();
                standing.is_deleted = false;
                standing.moves.push((self.world.now, Some(standing.head())));
                met("name restored");
            }
            Naming::Protect | Naming::Open if kind == NameKind::Branch => {
                let is_open = matches!(what, Naming::Open);
                let protection = if is_open { Protection::Open } else { Protection::MergesOnly };
                self.name(session, NameChange::Protect { name: name.clone(), protection }, None).await?;
                self.world.names.get_mut(&name).unwrap().protection = protection;
            }
            Naming::Protect | Naming::Open => {}
            Naming::Clash => {
                let commit = self.world.commits[self.world.head(&name)].id;
                let change = NameChange::Create { name, kind, commit, note: None };
                self.name(session, change, Some(ErrorKind::Conflict)).await?;
                met("name taken");
            }
        }
        Ok(())
    }

    async fn send_again(&mut self, n: usize) -> Checked {
        let Some(done) = self.world.done.get(n % self.world.done.len().max(1)).cloned() else { return Ok(()) };
        met("replay");
        let (sent, first) = match done.order {
            Order::Write(write, applied) => (Sent::Write(write), Reply::Applied(applied)),
            Order::Erase(erase, erased) => (Sent::Erase(erase), Reply::Erased(erased)),
        };
        let again = ask(self.engine(), done.op, &sent).await.map_err(fault)?;
        prop_assert!(again.is_replay(), "{sent:?} was done twice");
        prop_assert_eq!(again.first(), first.first());
        Ok(())
    }

    async fn acknowledge(&mut self, n: usize) -> Checked {
        if self.world.done.is_empty() {
            return Ok(());
        }
        let done = self.world.done.remove(n % self.world.done.len());
        self.engine().acknowledge(vec![done.op]);
        self.engine().rest().await.map_err(fault)?;
        prop_assert_eq!(self.engine().replayed(done.op).await.map_err(fault)?, None);
        Ok(())
    }

    async fn erase(&mut self, session: usize, memories: &[usize]) -> Checked {
        let unknown = self.fresh_id();
        let chosen: BTreeSet<MemoryId> =
            memories.iter().map(|n| self.some_memory(session, *n).unwrap_or(unknown)).collect();
        let ids: Vec<MemoryId> = chosen.into_iter().collect();
        let (author, at) = (self.sessions[session].author.clone(), self.world.now);
        let sent = Sent::Erase(Erase { ids: ids.clone(), author: author.clone(), note: None, at });
        let op = samples::op();
        let Reply::Erased(erased) = self.send(op, &sent).await?.map_err(fault)? else { unreachable!() };
        let has_versions = |id: &MemoryId| self.world.versions.get(id).is_some_and(|versions| !versions.is_empty());
        let is_there = |id: &&MemoryId| has_versions(id) && !self.world.erased.contains(*id);
        let (there, missing): (Vec<MemoryId>, Vec<MemoryId>) = ids.iter().partition(is_there);
        prop_assert_eq!(erased.memories as usize, there.len());
        let versions: usize = there.iter().map(|id| self.world.versions[id].len()).sum();
        prop_assert_eq!(erased.versions as usize, versions);
        prop_assert_eq!(erased.missing.iter().copied().collect::<BTreeSet<_>>(), missing.into_iter().collect());
        let mut touched = self.world.living(Some(NameKind::Branch));
        touched.retain(|name| there.iter().any(|id| self.world.state(self.world.head(name)).contains_key(id)));
        let found: BTreeMap<Name, CommitId> = erased.commits.iter().cloned().collect();
        prop_assert_eq!(found.keys().cloned().collect::<Vec<_>>(), touched);
        for (branch, commit) in &found {
            // Branches that stood at one commit move to one commit.
            if let Some(number) = self.world.commits.iter().position(|past| past.id == *commit) {
                prop_assert_eq!(self.world.commits[number].parents[0], self.world.head(branch));
                let now = self.world.now;
                self.world.names.get_mut(branch).unwrap().moves.push((now, Some(number)));
                continue;
            }
            let mut state = wanted(self.world.state(self.world.head(branch)));
            state.retain(|id, _| !there.contains(id));
            self.grow(branch, *commit, &state, None, &author, Verb::Erase).await?;
        }
        self.world.erase(&there);
        met_often("erased", there.len() as u64);
        let Sent::Erase(order) = sent else { unreachable!() };
        self.world.done.push(Done { op, order: Order::Erase(order, erased) });
        Ok(())
    }

    async fn compact(&mut self) -> Checked {
        self.world.now = self.world.now.plus_ms(1);
        let deleted = self.world.names.values().filter(|standing| standing.is_deleted).count();
        let cut = self.crash_at.take();
        if let Some(at_step) = cut {
            self.lose_power_at(at_step);
            let _ = self.engine().compact(self.world.now).await;
            self.power_returns()?;
        }
        let compacted = self.engine().compact(self.world.now).await.map_err(fault)?;
        let forgotten = self.world.compact();
        met_often("forgotten by compaction", forgotten as u64);
        let counts = (compacted.commits as usize, compacted.names as usize);
        // It may have been done, all of it, when the power went.
        prop_assert!(counts == (forgotten, deleted) || (cut.is_some() && counts == (0, 0)), "{compacted:?}");
        Ok(())
    }
}

/// What a name is, taken out of the world.
struct Standing {
    kind: NameKind,
    protection: Protection,
}

impl Standing {
    fn of(world: &World, name: &Name) -> Self {
        let standing = &world.names[name];
        Self { kind: standing.kind, protection: standing.protection }
    }
}

pub fn safe(write: Write, is_wanted: bool) -> Write {
    Write { safety: is_wanted.then(|| "safe".parse().unwrap()), ..write }
}

pub fn text(n: u8) -> String {
    let n = usize::from(n);
    format!("the {} of the {} is number {n}", WORDS[n % WORDS.len()], WORDS[n / 2 % WORDS.len()])
}

fn tag(n: u8) -> String {
    ["a", "b", "c"][usize::from(n) % 3].to_owned()
}

/// Two keys at most, in order; a value of 0 is none.
fn metadata(wanted: [(u8, u8); 2]) -> String {
    let there = wanted.iter().filter(|(_, value)| *value > 0);
    let all: Vec<String> =
        there.map(|(key, value)| format!("\"{}\":{value}", ["k", "m"][usize::from(*key) % 2])).collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

fn edited(mut memory: Memory, edit: Edit) -> Memory {
    match edit {
        Edit::Text(n) => memory.text = text(n),
        Edit::Trust(n) => memory.trust = Trust::from_number(n).unwrap(),
        Edit::Pin => memory.pinned = !memory.pinned,
        Edit::Tag(n) => {
            if !memory.tags.remove(&tag(n)) {
                memory.tags.insert(tag(n));
            }
        }
        Edit::Field(key, value) => {
            let fields = fields(&memory);
            let old =
                |n: u8| fields.get(["k", "m"][usize::from(n)]).and_then(serde_json::Value::as_u64).unwrap_or(0) as u8;
            let now = |n: u8| (n, if n == key { value } else { old(n) });
            memory.metadata = metadata([now(0), now(1)]);
        }
    }
    memory
}
