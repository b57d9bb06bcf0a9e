//! `store`: a text becomes a memory, unless equal text is one already.

use super::memo::Memo;
use super::{Caller, Service, checked_metadata, checked_tags, checked_text};
use crate::clock;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::{
    Applied, Change, Filter, Kind, Masked, Memory, MemoryId, Outcome, ProjectId, Scope, Source, Trust, Verb, Version,
    VersionId, Work,
};
use crate::search;
use crate::wire::message::{Place, Similar, Store, Stored};

impl<E: Engine> Service<E> {
    /// Durable once it returns `Ok`. Equal text in the same project, of the same kind and subject, is one memory.
    pub async fn store(&self, caller: &Caller, ask: Store) -> Result<Stored> {
        if let Some(applied) = self.engine.replayed(caller.op).await? {
            return self.stored(applied).await;
        }
        let mut masked = Vec::new();
        let branch = self.branch(caller, ask.branch.clone());
        let memory = self.new_memory(caller, ask, &mut masked)?;
        let at = self.head(&branch).await?;
        let nearby = Filter { scope: memory.project.clone().map_or(Scope::All, Scope::Project), ..Filter::default() };
        let similar = search::similar(&self.engine, &at, &memory.text, nearby).await?;
        let similar = similar.into_iter().map(|(version, percent)| (version.id, percent)).collect();
        let memo = Memo { branch: branch.to_string(), masked, similar, ..Memo::default() };
        let mut write = self.write(caller, branch, Verb::Store, memory.created_at);
        write.work = Work::Changes(vec![Change::Store(memory)]);
        write.memo = memo.encode();
        let applied = self.engine.apply(caller.op, write).await?;
        self.stored(applied).await
    }

    fn new_memory(&self, caller: &Caller, ask: Store, masked: &mut Vec<Masked>) -> Result<Memory> {
        let kind = ask.kind.unwrap_or(Kind::Semantic);
        let project = home_of(caller, ask.place, kind)?;
        // Masked first: nothing after this line sees a secret, not even to measure it.
        let text = checked_text(&self.mask(ask.text, masked)?)?;
        let tags = ask.tags.into_iter().map(|tag| self.mask(tag, masked)).collect::<Result<Vec<_>>>()?;
        let metadata = checked_metadata(self.mask(ask.metadata, masked)?)?;
        let origin = caller.origin(ask.source);
        let trust = ask.trust.unwrap_or(match origin.source {
            Source::User => Trust::T1,
            Source::Agent => Trust::T3,
            Source::Tool | Source::Import | Source::File => Trust::T4,
        });
        let now = clock::now();
        Ok(Memory {
            id: MemoryId::random(),
            kind,
            text,
            tags: checked_tags(tags)?,
            trust,
            confidence: trust.initial_confidence(),
            project,
            session: Some(ask.session.unwrap_or_else(|| caller.session.clone())),
            subject: ask.subject,
            origin,
            created_at: now,
            observed_at: ask.observed_at.unwrap_or(now),
            expires_at: None,
            pinned: false,
            metadata,
        })
    }

    /// The answer, the same for the first time and for a replay.
    async fn stored(&self, applied: Applied) -> Result<Stored> {
        let memo = Memo::decode(&applied.memo)?;
        let (version, is_duplicate) = match applied.outcomes.first() {
            Some(Outcome::Stored { version, .. }) => (*version, false),
            Some(Outcome::Existing { version, .. }) => (*version, true),
            _ => return Err(Error::conflict("this operation id belongs to another kind of request")),
        };
        let wanted: Vec<VersionId> = std::iter::once(version).chain(memo.similar.iter().map(|(id, _)| *id)).collect();
        let found = self.engine.versions(&wanted).await?;
        let kept = wanted.iter().zip(found).filter_map(|(id, memory)| memory.map(|memory| Version { id: *id, memory }));
        let mut shaped = self.shape(kept.collect()).await?.into_iter();
        let stored = shaped
            .next()
            .filter(|stored| stored.version == version)
            .ok_or_else(|| Error::not_found("what this operation stored has been erased since"))?;
        let similar = shaped
            .filter(|memory| memory.memory.id != stored.memory.id)
            .map(|memory| {
                let percent =
                    memo.similar.iter().find(|(id, _)| *id == memory.version).map_or(0, |(_, percent)| *percent);
                Similar { memory, percent }
            })
            .collect();
        Ok(Stored {
            branch: memo.branch.parse()?,
            stored,
            is_duplicate,
            similar,
            masked: memo.masked,
            commit: applied.commit,
        })
    }
}

/// The project that a write belongs to; `None` is global.
fn home_of(caller: &Caller, place: Place, kind: Kind) -> Result<Option<ProjectId>> {
    match place {
        Place::Here if kind == Kind::Profile => Ok(None),
        Place::Here => Ok(caller.project.clone()),
        Place::Global => Ok(None),
        Place::Named(project) => Ok(Some(project)),
        Place::Everywhere => Err(Error::invalid(
            "a memory cannot be stored in every project: use `global`, a project's name, or nothing",
        )),
    }
}
