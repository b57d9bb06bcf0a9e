//! `store`: a text becomes a memory, unless equal text is one already.

use super::mark::marked;
use super::memo::Memo;
use super::{Caller, Service, checked_metadata, checked_tags, checked_text, shaped};
use crate::clock;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::{
    Applied, Change, Feedback, Filter, Kind, Masked, Memory, MemoryId, Name, Origin, Outcome, ProjectId, Scope,
    SessionId, Source, SubjectId, Trust, Verb, Version, VersionId, Waits, Work,
};
use crate::search;
use crate::wire::message::{Expiry, Marks, Place, Similar, Store, Stored};

/// Digits of an id that is shown before anybody can say how many tell it from others: all of them.
const SHORT_LEN: u8 = 32;

impl<E: Engine> Service<E> {
    /// Durable once it returns `Ok`. Equal text in the same project, of the same kind and subject, is one memory.
    pub async fn store(&self, caller: &Caller, ask: Store) -> Result<Stored> {
        if let Some(applied) = self.engine.replayed(caller.op).await? {
            return self.stored(applied).await;
        }
        let mut masked = Vec::new();
        let branch = self.branch(caller, ask.branch.clone());
        let memory = self.new_memory(caller, ask, &mut masked)?;
        let similar = self.similar(&branch, &memory).await;
        let mut memo = Memo { branch: branch.to_string(), masked, ..Memo::default() };
        let mut write = self.write(caller, branch, Verb::Store, memory.created_at);
        write.work = Work::Changes(vec![Change::Store(memory)]);
        let applied = match similar {
            Ok(similar) => {
                memo.similar = similar;
                write.memo = memo.encode();
                self.engine.apply(caller.op, write).await?
            }
            // Nothing of a new memory depends on what is there: it may wait, where the engine has a place for it.
            Err(error) => {
                write.memo = memo.encode();
                self.engine.keep(caller.op, write, error).await?
            }
        };
        self.stored(applied).await
    }

    /// What on this branch says nearly the same, with the percentage of common words.
    async fn similar(&self, branch: &Name, memory: &Memory) -> Result<Vec<(VersionId, u8)>> {
        let at = self.head(branch).await?;
        let nearby = Filter { scope: memory.project.clone().map_or(Scope::All, Scope::Project), ..Filter::default() };
        let similar = search::similar(&self.engine, &at, &memory.text, nearby).await?;
        Ok(similar.into_iter().map(|(version, percent)| (version.id, percent)).collect())
    }

    fn new_memory(&self, caller: &Caller, ask: Store, masked: &mut Vec<Masked>) -> Result<Memory> {
        let kind = ask.kind.unwrap_or(Kind::Semantic);
        let project = home_of(caller, ask.place, kind)?;
        // Masked first: nothing after this line sees a secret, not even to measure it.
        let text = checked_text(&self.mask("text", ask.text, masked)?)?;
        let tags = ask.tags.into_iter().map(|tag| self.mask("tags", tag, masked)).collect::<Result<Vec<_>>>()?;
        let metadata = checked_metadata(self.mask("metadata", ask.metadata, masked)?)?;
        let subject = ask.subject.map(|subject| self.mask("subject", subject.to_string(), masked)).transpose()?;
        let session = ask.session.map(|session| self.mask("session", session.to_string(), masked)).transpose()?;
        let origin = caller.origin(ask.source);
        let trust = trust_of(&origin, kind, ask.trust)?;
        let now = clock::now();
        let expiry = ask.expires_at.map_or(Expiry::Keep, Expiry::At);
        let mut memory = Memory {
            id: MemoryId::random(),
            kind,
            text,
            tags: checked_tags(tags)?,
            trust,
            confidence: trust.initial_confidence(),
            project,
            session: Some(session.map_or_else(|| Ok(caller.session.clone()), SessionId::new)?),
            subject: subject.map(SubjectId::new).transpose()?,
            origin,
            created_at: now,
            observed_at: ask.observed_at.unwrap_or(now),
            expires_at: None,
            pinned: false,
            metadata,
        };
        marked(&mut memory, &Marks { pinned: Some(ask.is_pinned), expiry }, now)?;
        Ok(memory)
    }

    /// The answer, the same for the first time and for a replay.
    async fn stored(&self, applied: Applied) -> Result<Stored> {
        let memo = Memo::decode(&applied.memo)?;
        if let Some(waits) = applied.waits {
            return waiting(*waits, memo);
        }
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
            waits: None,
        })
    }
}

/// T1 for what a person types, T3 for what an agent infers, T4 for what tools, files and imports bring: that is T3 at
/// most, unless a person who types it says more.
fn trust_of(origin: &Origin, kind: Kind, said: Option<Trust>) -> Result<Trust> {
    let is_brought = kind == Kind::ToolResult || !matches!(origin.source, Source::User | Source::Agent);
    match said {
        Some(trust) if is_brought && trust < Trust::T3 && origin.source != Source::User => {
            Err(Error::invalid(format!(
                "nothing was stored: what a tool, a file or an import brings is T3 or T4, not {trust}. Leave \
                 trust_tier out; or store what the user stated of it as semantic."
            )))
        }
        Some(trust) => Ok(trust),
        None if is_brought => Ok(Trust::T4),
        None if origin.source == Source::User => Ok(Trust::T1),
        None => Ok(Trust::T3),
    }
}

/// The answer for a memory that waits: its id is its own unless equal text turns out to be there.
fn waiting(waits: Waits, memo: Memo) -> Result<Stored> {
    let version = Version { id: VersionId([0; 32]), memory: waits.memory };
    Ok(Stored {
        branch: memo.branch.parse()?,
        stored: shaped(version, SHORT_LEN, Feedback::default(), clock::now()),
        is_duplicate: false,
        similar: Vec::new(),
        masked: memo.masked,
        commit: None,
        waits: Some(waits.number),
    })
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
