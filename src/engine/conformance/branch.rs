//! A branch of an engine under test, with short words for what laws do on it.

use std::collections::BTreeMap;

use super::samples::{ALL, memory, op, write};
use crate::clock;
use crate::engine::{At, Engine};
use crate::error::{Error, Result};
use crate::model::{
    Applied, Change, CommitId, Expect, Filter, Memory, MemoryId, Name, NameChange, NameKind, Outcome, Page, Plan,
    Planned, Progress, Revision, Rule, Verb, VersionId, Work, Write,
};

/// The live version of each memory.
pub type State = BTreeMap<MemoryId, VersionId>;

pub struct Branch<'e, E> {
    pub engine: &'e E,
    pub name: Name,
}

impl<'e, E: Engine> Branch<'e, E> {
    pub fn main(engine: &'e E) -> Self {
        Self { engine, name: Name::main() }
    }

    pub async fn fork(&self, name: &str) -> Result<Self> {
        let name: Name = name.parse()?;
        self.named(NameKind::Branch, &name, self.commit().await?).await?;
        Ok(Self { engine: self.engine, name })
    }

    /// A snapshot of where it stands.
    pub async fn snapshot(&self, name: &str) -> Result<Name> {
        let name: Name = name.parse()?;
        self.named(NameKind::Snapshot, &name, self.commit().await?).await?;
        Ok(name)
    }

    pub async fn named(&self, kind: NameKind, name: &Name, commit: CommitId) -> Result<Applied> {
        self.rename(NameChange::Create { name: name.clone(), kind, commit, note: None }).await
    }

    pub async fn rename(&self, change: NameChange) -> Result<Applied> {
        self.write(Write { names: vec![change], ..write(Verb::Store, vec![])? }).await
    }

    /// As one operation on this branch.
    pub async fn write(&self, order: Write) -> Result<Applied> {
        self.engine.apply(op(), Write { branch: self.name.clone(), ..order }).await
    }

    pub async fn change(&self, verb: Verb, changes: Vec<Change>) -> Result<Applied> {
        self.write(write(verb, changes)?).await
    }

    pub async fn store(&self, text: &str) -> Result<Memory> {
        let memory = memory(text);
        self.add(&memory).await?;
        Ok(memory)
    }

    pub async fn add(&self, memory: &Memory) -> Result<VersionId> {
        match self.change(Verb::Store, vec![Change::Store(memory.clone())]).await?.outcomes[..] {
            [Outcome::Stored { version, .. }] => Ok(version),
            ref other => Err(Error::internal(format!("storing `{}` came to {other:?}", memory.text))),
        }
    }

    pub async fn correct(&self, memory: &Memory, text: &str) -> Result<Memory> {
        let memory = Memory { text: text.to_owned(), ..memory.clone() };
        self.replace(&memory).await?;
        Ok(memory)
    }

    pub async fn replace(&self, memory: &Memory) -> Result<VersionId> {
        let changes = vec![Change::Replace { memory: memory.clone(), expect: Expect::Live }];
        match self.change(Verb::Correct, changes).await?.outcomes[..] {
            [Outcome::Replaced { after, .. }] => Ok(after),
            ref other => Err(Error::internal(format!("correcting to `{}` came to {other:?}", memory.text))),
        }
    }

    pub async fn purge(&self, id: MemoryId) -> Result<Applied> {
        self.change(Verb::Purge, vec![Change::Remove { id, expect: Expect::Live }]).await
    }

    pub async fn head(&self) -> Result<At> {
        self.engine.resolve(&Revision::Name(self.name.clone()), clock::now()).await
    }

    pub async fn commit(&self) -> Result<CommitId> {
        Ok(self.head().await?.commit)
    }

    pub async fn state(&self) -> Result<State> {
        state(self.engine, &self.head().await?).await
    }

    /// Sorted.
    pub async fn texts(&self) -> Result<Vec<String>> {
        super::texts(self.engine, &self.head().await?).await
    }

    pub async fn carry_out(&self, verb: Verb, plan: Plan) -> Result<Applied> {
        self.write(Write { work: Work::Plan(plan), ..write(verb, vec![])? }).await
    }

    pub async fn planned(&self, plan: &Plan) -> Result<Planned> {
        self.engine.plan(&self.head().await?, plan, ALL).await
    }

    pub async fn merge(&self, other: &Self) -> Result<Applied> {
        self.carry_out(Verb::Merge, merging(other.commit().await?)).await
    }

    pub async fn progress(&self, progress: Progress) -> Result<Applied> {
        self.write(Write { progress, ..write(Verb::Merge, vec![])? }).await
    }
}

pub fn merging(theirs: CommitId) -> Plan {
    Plan::Merge { theirs, rule: Rule::Fail, resolutions: Vec::new() }
}

pub async fn state(engine: &impl Engine, at: &At) -> Result<State> {
    let listing = engine.page(at, &Filter::default(), Page::default()).await?;
    Ok(listing.memories.into_iter().map(|version| (version.memory.id, version.id)).collect())
}

/// The commit that a write must have made.
pub fn made(applied: &Applied) -> Result<CommitId> {
    applied.commit.ok_or_else(|| Error::internal(format!("a write made no commit: {applied:?}")))
}
