//! `correct`: a memory gets a new state under the same id; what it said before stays in history.

use super::mark::marked;
use super::memo::Memo;
use super::retrieve::checked_question;
use super::{Caller, Service, checked_filter, checked_tags, checked_text, masking};
use crate::clock;
use crate::engine::{At, Engine};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::flags::flags_of;
use crate::model::{Applied, Change, Expect, Memory, Moment, Outcome, Trust, Verb, Version, VersionId, Work};
use crate::search;
use crate::wire::message::{ClientKind, Correct, Corrected, Target};

/// How often a correction is tried again when somebody else changed the memory between the read and the write.
const ATTEMPTS_MAX: u32 = 4;

impl<E: Engine> Service<E> {
    /// Durable once it returns `Ok`.
    pub async fn correct(&self, caller: &Caller, ask: Correct) -> Result<Corrected> {
        if let Some(applied) = self.engine.replayed(caller.op).await? {
            return self.corrected(applied).await;
        }
        let branch = self.branch(caller, ask.branch.clone());
        let mut memo = Memo { branch: branch.to_string(), ..Memo::default() };
        let text = checked_text(&self.mask("text", ask.text, &mut memo.masked)?)?;
        let note = ask.reason.map(|reason| self.mask("reason", reason, &mut memo.masked)).transpose()?;
        let tags = match ask.tags {
            None => None,
            Some(tags) => {
                let tags =
                    tags.into_iter().map(|tag| self.mask("tags", tag, &mut memo.masked)).collect::<Result<Vec<_>>>()?;
                Some(checked_tags(tags)?)
            }
        };
        let mut attempt = 1;
        loop {
            let at = self.head(&branch).await?;
            let before = self.target(caller, &at, &ask.target).await?;
            let mut memory = before.memory;
            memory.text.clone_from(&text);
            memory.trust = trust_after(caller, &memory, ask.trust)?;
            memory.confidence = memory.trust.initial_confidence();
            memory.origin = caller.origin(None);
            memory.observed_at = clock::now();
            if let Some(tags) = &tags {
                memory.tags.clone_from(tags);
            }
            let now = memory.observed_at;
            marked(&mut memory, &ask.marks, now)?;
            let mut write = self.write(caller, branch.clone(), Verb::Correct, memory.observed_at);
            write.note.clone_from(&note);
            write.work = Work::Changes(vec![Change::Replace { memory, expect: Expect::Version(before.id) }]);
            write.memo = memo.encode();
            match self.engine.apply(caller.op, write).await {
                // A lost race is not the caller's concern: look again and correct what is there now.
                Err(error) if error.kind == ErrorKind::Conflict && attempt < ATTEMPTS_MAX => attempt += 1,
                applied => return self.corrected(applied?).await,
            }
        }
    }

    async fn target(&self, caller: &Caller, at: &At, target: &Target) -> Result<Version> {
        match target {
            Target::Id(id) => self.live(at, id).await,
            Target::Question { question, place, filter, session_scope } => {
                let mut filter = checked_filter(caller, place.clone(), filter.clone())?;
                let ranking = self.ranking(caller, &mut filter, *session_scope, Moment::Now(at.as_of));
                {
                    let text = &*masking::question(self.config().guard.secrets, checked_question(question)?);
                    let (meaning, _) = self.vectors.meaning(text, &self.config()).await;
                    let question = search::Question { text, meaning };
                    search::best(&self.engine, at, &question, filter, &ranking).await
                }
            }
        }
    }

    async fn corrected(&self, applied: Applied) -> Result<Corrected> {
        let memo = Memo::decode(&applied.memo)?;
        let (before, after): (VersionId, VersionId) = match applied.outcomes.first() {
            Some(Outcome::Replaced { before, after, .. }) => (*before, *after),
            Some(Outcome::Unchanged { version, .. }) => (*version, *version),
            Some(Outcome::Missing { id }) => {
                return Err(Error::not_found(format!("memory {id} was purged in the meantime; nothing was corrected")));
            }
            _ => return Err(Error::conflict("this operation id belongs to another kind of request")),
        };
        let mut found = self.engine.versions(&[before, after]).await?.into_iter();
        let (before_memory, after_memory) = (found.next().flatten(), found.next().flatten());
        let memory = after_memory.ok_or_else(|| Error::not_found("the corrected memory has been erased since"))?;
        let shaped = self.shape(vec![Version { id: after, memory }]).await?.pop();
        Ok(Corrected {
            branch: memo.branch.parse()?,
            memory: shaped.ok_or_else(|| Error::internal("a memory could not be shaped"))?,
            before_flags: before_memory.as_ref().map(flags_of).unwrap_or_default(),
            before: before_memory.map(|memory| memory.text).unwrap_or_default(),
            is_unchanged: before == after,
            masked: memo.masked,
            commit: applied.commit,
        })
    }
}

/// What a person says is verified. What an agent says is T3 unless it says otherwise, and never takes the place of what
/// is trusted more than that: who acts for the user says so by the tier.
fn trust_after(caller: &Caller, memory: &Memory, said: Option<Trust>) -> Result<Trust> {
    let trust = match caller.client {
        ClientKind::Cli => return Ok(said.unwrap_or(Trust::T1)),
        ClientKind::Shim => said.unwrap_or(Trust::T3),
    };
    if trust <= memory.trust {
        return Ok(trust);
    }
    let id = &memory.id.to_string()[..8];
    let who = if memory.trust == Trust::T1 { "verified by the user" } else { "curated" };
    let who = if memory.trust < Trust::T3 { format!(" ({who})") } else { String::new() };
    Err(Error::invalid(format!(
        "nothing was written: memory {id} is {}{who}, and what is trusted less does not take its place. If the user \
         stated the new text, give trust_tier {}; if not, store it as a memory of its own and ask the user.",
        memory.trust, memory.trust,
    )))
}
