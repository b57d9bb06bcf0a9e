//! `import` and `export`: many memories at once, in and out.

use super::mark::marked;
use super::masking::mask;
use super::memo::Memo;
use super::{Caller, Service, checked_filter, checked_tags, checked_text};
use crate::clock;
use crate::config::Secrets;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::guard::flags::flags_of;
use crate::model::{
    Applied, Change, Expect, Kind, Masked, Memory, MemoryId, Origin, ProjectId, Rating, SessionId, Source, SubjectId,
    Time, Trust, Verb, Work,
};
use crate::wire::limits;
use crate::wire::message::{Expiry, Export, Exported, Import, Imported, Marks, Place, Rest, Row, RowStep, Tiers};

impl<E: Engine> Service<E> {
    /// One batch, one commit. Durable once it returns `Ok`.
    pub async fn import(&self, caller: &Caller, ask: Import) -> Result<Imported> {
        let rows = ask.rows.len() as u32;
        if let Some(applied) = self.engine.replayed(caller.op).await? {
            return imported(applied, rows);
        }
        let branch = self.branch(caller, ask.branch.clone());
        let (policy, by, now) = (self.config().guard.secrets, caller.clone(), clock::now());
        // Long work must not hold up the other sessions' requests.
        let read = tokio::task::spawn_blocking(move || read_all(&by, ask, policy, now));
        let batch = read.await.map_err(|_| Error::internal("a batch could not be read"))??;
        let mut write = self.write(caller, branch.clone(), Verb::Import, now);
        write.note = batch.note;
        write.work = Work::Changes(batch.changes);
        write.brought = batch.brought;
        let Batch { masked, refused, lowered, flagged, .. } = batch;
        write.memo = Memo { branch: branch.to_string(), masked, refused, lowered, flagged, ..Memo::default() }.encode();
        imported(self.engine.apply(caller.op, write).await?, rows)
    }

    /// Part of a state, from where the last part ended.
    pub async fn export(&self, caller: &Caller, ask: Export) -> Result<Exported> {
        let (seen, start) = match ask.rest {
            None => (self.seen(caller, ask.view).await?, 0),
            Some(Rest { commit, moment, start }) => (self.seen_again(commit, moment).await?, start),
        };
        let filter = checked_filter(caller, ask.place, ask.filter)?;
        let mut limit = limits::EXPORTED_MAX;
        let scan = loop {
            let scan = self.engine.scan(&seen.at, &filter, start, limit).await?;
            let bytes: usize = scan.versions.iter().map(|one| one.memory.text.len() + one.memory.metadata.len()).sum();
            if bytes <= limits::RESULT_TEXTS_BYTES_MAX || limit == 1 {
                break scan;
            }
            limit = (limit / 2).max(1);
        };
        let memories: Vec<Memory> = scan.versions.into_iter().map(|version| version.memory).collect();
        let flags = (0..).zip(&memories).map(|(place, memory)| (place, flags_of(memory)));
        let flagged = flags.filter(|(_, flags)| !flags.is_empty()).collect();
        let ids: Vec<MemoryId> = memories.iter().map(|memory| memory.id).collect();
        let rated = (0..).zip(self.said(&ids, seen.moment).await?).filter(|(_, said)| !said.is_none()).collect();
        let rest = scan.next.map(|start| Rest { commit: seen.at.commit, moment: seen.moment, start });
        Ok(Exported { point: seen.point(), memories, total: scan.total, rest, flagged, rated })
    }
}

fn imported(applied: Applied, rows: u32) -> Result<Imported> {
    let memo = Memo::decode(&applied.memo)?;
    let (stored, refused) = (applied.counts.added, memo.refused);
    let changed = applied.counts.changed + applied.counts.removed;
    Ok(Imported {
        branch: memo.branch.parse()?,
        stored,
        existing: rows.saturating_sub(stored + changed + refused.len() as u32),
        masked: memo.masked,
        refused,
        commit: applied.commit,
        is_replay: applied.is_replay,
        changed,
        lowered: memo.lowered,
        flagged: memo.flagged,
    })
}

#[derive(Default)]
struct Batch {
    note: Option<String>,
    changes: Vec<Change>,
    brought: Vec<Rating>,
    masked: Vec<Masked>,
    refused: Vec<(u32, String)>,
    lowered: u32,
    flagged: u32,
}

fn read_all(caller: &Caller, ask: Import, policy: Secrets, now: Time) -> Result<Batch> {
    let mut batch = Batch { changes: Vec::with_capacity(ask.rows.len()), ..Batch::default() };
    let home = match ask.place {
        Place::Here => caller.project.clone(),
        Place::Global => None,
        Place::Named(project) => Some(project),
        Place::Everywhere => return Err(Error::invalid("a memory cannot be stored in every project: name one")),
    };
    for mut row in ask.rows {
        let (line, step, id) = (row.line, row.step, row.id);
        row.feedback = row.feedback.until(now);
        let is_lowered = lower(&mut row, ask.tiers);
        let said = row.feedback;
        if let (RowStep::Remove, Some(id)) = (step, id) {
            batch.changes.push(Change::Remove { id, expect: Expect::Live });
            continue;
        }
        match memory_of(caller, row, (&home, ask.agent.as_deref(), policy, now), &mut batch.masked) {
            Ok(memory) => {
                batch.lowered += u32::from(is_lowered);
                batch.flagged += u32::from(!flags_of(&memory).is_empty());
                if !said.is_none() {
                    batch.brought.push(Rating { id: memory.id, said });
                }
                batch.changes.push(match step {
                    RowStep::Replace => Change::Replace { memory, expect: Expect::Live },
                    RowStep::Store | RowStep::Remove => Change::Store(memory),
                });
            }
            Err(error) => batch.refused.push((line, error.message)),
        }
    }
    batch.note = Some(mask(policy, "file", ask.file, &mut batch.masked)?).filter(|file| !file.is_empty());
    Ok(batch)
}

/// How many more words for a memory than against it are taken from a file that nobody vouches for. They weigh less than
/// the trust that the best of such memories (T3) lacks beside what the user verified (T1): for nothing that stands in
/// a file it comes before that.
const PRAISE_LEAD_MAX: u32 = 3;

/// What is brought in is not verified by being brought in, whatever it says of itself: unless a person vouches for the
/// file, its memories are T3 at most, none of them is the person's own word or told unasked for its pin, and praise
/// counts as far as [`PRAISE_LEAD_MAX`].
fn lower(row: &mut Row, tiers: Tiers) -> bool {
    if tiers == Tiers::Kept {
        return false;
    }
    if row.source == Some(Source::User) {
        row.source = Some(Source::Import);
    }
    let most = Trust::T3;
    row.confidence = row.confidence.map(|confidence| confidence.min(most.initial_confidence()));
    let claimed = (row.trust, row.is_pinned, row.feedback);
    row.trust = row.trust.map(|trust| trust.max(most));
    row.is_pinned = false;
    row.feedback = row.feedback.praised_at_most(PRAISE_LEAD_MAX);
    claimed != (row.trust, row.is_pinned, row.feedback)
}

fn memory_of(
    caller: &Caller,
    row: Row,
    (home, agent, policy, now): (&Option<ProjectId>, Option<&str>, Secrets, Time),
    masked: &mut Vec<Masked>,
) -> Result<Memory> {
    let line = row.line;
    let mut clean = |field: &str, text: String| mask(policy, format_args!("line {line} {field}"), text, masked);
    let text = checked_text(&clean("text", row.text)?)?;
    let tags = row.tags.into_iter().map(|tag| clean("tags", tag)).collect::<Result<Vec<_>>>()?;
    let tags = checked_tags(tags)?;
    let metadata = super::checked_metadata(clean("metadata", row.metadata)?)?;
    let mut named = |field: &str, text: Option<String>| text.map(|text| clean(field, text)).transpose();
    let (row_agent, agent_version) = (named("agent", row.agent)?, named("agent_version", row.agent_version)?);
    let (tool, file) = (named("tool", row.tool)?, named("file", row.file)?);
    let subject = named("subject", row.subject.map(|subject| subject.to_string()))?;
    let session = named("session", row.session.map(|session| session.to_string()))?;
    let row_project = named("project", row.project)?;
    let kind = row.kind.unwrap_or(Kind::Semantic);
    let project = match row_project.as_deref() {
        None if kind == Kind::Profile => None,
        None => home.clone(),
        Some("global") => None,
        Some(name) => Some(ProjectId::new(name)?),
    };
    let source = row.source.unwrap_or(Source::Import);
    let trust = row.trust.unwrap_or(Trust::T4);
    let mut memory = Memory {
        id: row.id.unwrap_or_else(MemoryId::random),
        kind,
        text,
        tags,
        trust,
        confidence: row.confidence.unwrap_or(trust.initial_confidence()),
        project,
        session: Some(session.map_or_else(|| Ok(caller.session.clone()), SessionId::new)?),
        subject: subject.map(SubjectId::new).transpose()?,
        origin: Origin {
            source,
            agent: row_agent.or_else(|| agent.map(str::to_owned)),
            agent_version,
            session: Some(caller.session.clone()),
            tool,
            file,
        },
        created_at: row.created_at.unwrap_or(now),
        observed_at: row.observed_at.or(row.created_at).unwrap_or(now),
        expires_at: None,
        pinned: false,
        metadata,
    };
    let expiry = row.expires_at.map_or(Expiry::Keep, Expiry::At);
    marked(&mut memory, &Marks { pinned: Some(row.is_pinned), expiry }, now)?;
    Ok(memory)
}
