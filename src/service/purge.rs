//! `purge`: memories leave the state; their history stays, and can be shown.

use super::memo::Memo;
use super::{Caller, Service, fitting};
use crate::clock;
use crate::engine::{At, Engine, Erase};
use crate::error::{Error, ErrorKind, Result};
use crate::lexical;
use crate::model::{Applied, Change, Expect, Filter, MemoryId, Outcome, Page, Scope, Verb, Version, VersionId, Work};
use crate::wire::limits;
use crate::wire::message::{Depth, Purge, PurgeTarget, Purged};

impl<E: Engine> Service<E> {
    /// Durable once it returns `Ok`; one commit, whatever the number. An erasure is on every branch.
    pub async fn purge(&self, caller: &Caller, ask: Purge) -> Result<Purged> {
        if ask.depth == Depth::Bytes {
            return self.erase(caller, ask).await;
        }
        if let Some(applied) = self.engine.replayed(caller.op).await? {
            return self.purged(applied).await;
        }
        let branch = self.branch(caller, ask.branch);
        let mut memo = Memo { branch: branch.to_string(), ..Memo::default() };
        let note = ask.reason.map(|reason| self.mask("reason", reason, &mut memo.masked)).transpose()?;
        let at = self.head(&branch).await?;
        let ids = self.targets(caller, &at, ask.target, &mut memo.missing).await?;
        let mut write = self.write(caller, branch, Verb::Purge, clock::now());
        write.note = note;
        write.work = Work::Changes(ids.into_iter().map(|id| Change::Remove { id, expect: Expect::Live }).collect());
        write.memo = memo.encode();
        self.secure(&mut write).await?;
        let applied = self.engine.apply(caller.op, write).await?;
        self.purged(applied).await
    }

    /// What only history holds can be erased too, by its id.
    async fn erase(&self, caller: &Caller, ask: Purge) -> Result<Purged> {
        let branch = self.branch(caller, ask.branch);
        let mut masked = Vec::new();
        let note = ask.reason.map(|reason| self.mask("reason", reason, &mut masked)).transpose()?;
        let at = self.head(&branch).await?;
        let mut missing = Vec::new();
        let ids = self.targets(caller, &at, ask.target, &mut missing).await?;
        let erase = Erase { ids, author: caller.author(), note, at: clock::now() };
        let erased = self.engine.erase(caller.op, erase).await?;
        self.vectors.cache.clear().map_err(|e| Error::io("erase cached vectors: repeat this", &e))?;
        missing.extend(erased.missing.iter().map(ToString::to_string));
        let commit = erased.commits.iter().find(|(on, _)| *on == branch).or(erased.commits.first());
        Ok(Purged {
            commit: commit.map(|(_, commit)| *commit),
            branch,
            safety: None,
            erased_versions: erased.versions,
            erased_memories: erased.memories,
            removed: Vec::new(),
            removed_total: erased.memories,
            missing,
            masked,
        })
    }

    async fn targets(
        &self,
        caller: &Caller,
        at: &At,
        target: PurgeTarget,
        missing: &mut Vec<String>,
    ) -> Result<Vec<MemoryId>> {
        match target {
            PurgeTarget::Ids(prefixes) => self.named(prefixes, missing).await,
            PurgeTarget::Topic { topic, place } => {
                let terms = lexical::terms(&topic);
                if terms.is_empty() || topic.trim().chars().count() < limits::TOPIC_CHARS_MIN {
                    return Err(Error::invalid(format!(
                        "the topic `{}` is too short to purge by: use at least {} characters, or ids",
                        topic.trim(),
                        limits::TOPIC_CHARS_MIN
                    )));
                }
                let filter = Filter { scope: caller.scope(place), ..Filter::default() };
                Ok(self.engine.containing(at, &terms, &filter, 0).await?.0)
            }
            PurgeTarget::Session { session, kinds } => {
                let filter = Filter { kinds, session: Some(session), scope: Scope::All, ..Filter::default() };
                let listing = self.engine.page(at, &filter, Page { offset: 0, limit: 0 }).await?;
                Ok(listing.memories.into_iter().map(|version| version.memory.id).collect())
            }
        }
    }

    /// An unknown id is reported and the others go; an ambiguous one stops everything, since it may be a slip.
    pub(super) async fn named(&self, prefixes: Vec<String>, missing: &mut Vec<String>) -> Result<Vec<MemoryId>> {
        if prefixes.is_empty() || prefixes.len() > limits::IDS_MAX {
            return Err(Error::invalid(format!("name 1 to {} memories", limits::IDS_MAX)));
        }
        let mut ids = Vec::with_capacity(prefixes.len());
        for prefix in prefixes {
            match self.engine.find(&prefix).await {
                Ok(id) if ids.contains(&id) => {}
                Ok(id) => ids.push(id),
                Err(error) if error.kind == ErrorKind::NotFound => missing.push(prefix),
                Err(error) => return Err(error),
            }
        }
        Ok(ids)
    }

    async fn purged(&self, applied: Applied) -> Result<Purged> {
        let memo = Memo::decode(&applied.memo)?;
        let (mut missing, safety) = (memo.missing, self.safety_of(&applied, Verb::Purge));
        let mut removed: Vec<VersionId> = Vec::new();
        for outcome in &applied.outcomes {
            match outcome {
                Outcome::Removed { version, .. } => removed.push(*version),
                Outcome::Missing { id } => missing.push(id.to_string()),
                _ => return Err(Error::conflict("this operation id belongs to another kind of request")),
            }
        }
        let removed_total = applied.counts.removed.max(removed.len() as u32);
        removed.truncate(limits::RESULTS_MAX as usize);
        let memories = self.engine.versions(&removed).await?;
        let known =
            removed.iter().zip(memories).filter_map(|(id, memory)| memory.map(|memory| Version { id: *id, memory }));
        Ok(Purged {
            branch: memo.branch.parse()?,
            safety,
            erased_versions: 0,
            erased_memories: 0,
            removed: self.shape(fitting(known.collect())).await?,
            removed_total,
            missing,
            masked: memo.masked,
            commit: applied.commit,
        })
    }
}
