//! The rows of operations: what each came to, so that the second asking gets the first answer; and of merges in
//! progress. It knows bytes only.

use super::{NARROW_CHANGES_MAX, damaged};
use crate::error::{Error, Result};
use crate::model::canon::{Reader, Writer};
use crate::model::{
    Applied, Author, Choice, CommitId, Counts, Erased, Memory, MemoryId, Merged, Name, NameKind, Outcome, Pending,
    ProjectId, Protection, Ref, Resolution, SessionId, Time, VersionId,
};

/// What an operation came to, kept until its client has seen it.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Kept {
        at: Time,
        applied: Applied,
    },
    /// Of an erasure.
    Erased {
        at: Time,
        erased: Erased,
    },
    /// Older than a week: no longer known, and never to be applied again.
    Expired,
}

const MARK: u8 = 0;
const KEPT: u8 = 1;
const ERASED: u8 = 2;

impl Reply {
    /// How long a reply is kept that nobody acknowledges: a week.
    pub const KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
    /// How long an operation whose reply is forgotten is still known not to be applied again.
    pub const MARK_KEPT_MS: i64 = 90 * 24 * 60 * 60 * 1_000;

    /// The row of [`Reply::Expired`], with the time of what was replied, so that the mark can go one day, too.
    pub fn mark(at: Time) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(MARK).time(at);
        out.0
    }

    /// The row of [`Reply::Erased`].
    pub fn encode_erased(at: Time, erased: &Erased) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(ERASED).time(at).u32(erased.memories).u32(erased.versions);
        out.u32(erased.commits.len() as u32);
        for (branch, commit) in &erased.commits {
            out.text(branch.as_str()).fixed(&commit.0);
        }
        out.u32(erased.missing.len() as u32);
        erased.missing.iter().for_each(|id| {
            out.fixed(&id.0);
        });
        out.0
    }

    /// The row of [`Reply::Kept`].
    pub fn encode(at: Time, applied: &Applied) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(KEPT).time(at);
        match &applied.commit {
            None => out.u8(0),
            Some(commit) => out.u8(1).fixed(&commit.0),
        };
        // As many as a session may ask for again; an import does not.
        let is_wide = applied.outcomes.len() > NARROW_CHANGES_MAX;
        let outcomes: &[Outcome] = if is_wide { &[] } else { &applied.outcomes };
        out.u32(outcomes.len() as u32);
        for outcome in outcomes {
            put_outcome(&mut out, outcome);
        }
        let Counts { added, changed, removed, conflicts, kept } = applied.counts;
        for count in [added, changed, removed, conflicts, kept] {
            out.u32(count);
        }
        match &applied.merged {
            None => out.u8(0),
            Some(merged) => out.u8(1).fixed(&merged.merge.0).u8(u8::from(merged.is_all)),
        };
        if let Some(merged) = &applied.merged {
            match merged.undone_by {
                None => out.u8(0),
                Some(commit) => out.u8(1).fixed(&commit.0),
            };
        }
        out.u32(applied.names.len() as u32);
        for name in &applied.names {
            put_ref(&mut out, name);
        }
        out.fixed(&applied.memo);
        out.0
    }

    /// When a kept reply was given, without the rest of it.
    pub fn kept_since(bytes: &[u8]) -> Option<Time> {
        let mut from = Reader(bytes);
        [KEPT, ERASED].contains(&from.u8().ok()?).then(|| from.time().ok()).flatten()
    }

    /// When the reply was given of which this is the mark.
    pub fn marked_since(bytes: &[u8]) -> Option<Time> {
        let mut from = Reader(bytes);
        (from.u8().ok()? == MARK).then(|| from.time().ok()).flatten()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader(bytes);
        let (form, at) = (from.u8()?, from.time()?);
        match form {
            MARK => return from.end().map(|()| Self::Expired),
            KEPT => {}
            ERASED => return erased(from).map(|erased| Self::Erased { at, erased }),
            _ => return Err(damaged("a stored reply has an unknown form")),
        }
        let commit = from.optional(|from| from.array().map(CommitId))?;
        let len = from.u32()?;
        let outcomes = (0..len).map(|_| outcome(&mut from)).collect::<Result<Vec<_>>>()?;
        let counts = Counts {
            added: from.u32()?,
            changed: from.u32()?,
            removed: from.u32()?,
            conflicts: from.u32()?,
            kept: from.u32()?,
        };
        let merged = from.optional(|from| {
            let (merge, is_all) = (CommitId(from.array()?), from.u8()? != 0);
            Ok(Merged { merge, is_all, undone_by: from.optional(|from| from.array().map(CommitId))? })
        })?;
        let len = from.u32()?;
        let names = (0..len).map(|_| named(&mut from)).collect::<Result<Vec<_>>>()?;
        let applied =
            Applied { commit, outcomes, counts, merged, names, memo: from.0.to_vec(), is_replay: true, waits: None };
        Ok(Self::Kept { at, applied })
    }

    /// To a write that is sent again.
    pub fn applied(self) -> Result<Applied> {
        match self {
            Self::Kept { applied, .. } => Ok(applied),
            Self::Erased { .. } => Err(Error::invalid("this operation was an erasure: write under an id of its own")),
            Self::Expired => Err(Error::expired(
                "this operation was done more than 7 days ago, and is not done again: send it as a new one if you \
                 mean it",
            )),
        }
    }

    /// To an erasure that is sent again.
    pub fn erasure(self) -> Result<Erased> {
        match self {
            Self::Erased { erased, .. } => Ok(erased),
            Self::Kept { .. } => Err(Error::invalid("this operation was another one: erase under an id of its own")),
            Self::Expired => Err(Error::expired("this erasure was done more than 7 days ago")),
        }
    }
}

fn erased(mut from: Reader) -> Result<Erased> {
    let (memories, versions) = (from.u32()?, from.u32()?);
    let len = from.u32()?;
    let commits = (0..len).map(|_| Ok((name(&mut from)?, CommitId(from.array()?)))).collect::<Result<_>>()?;
    let len = from.u32()?;
    let missing = (0..len).map(|_| from.array().map(MemoryId)).collect::<Result<_>>()?;
    from.end()?;
    Ok(Erased { memories, versions, commits, missing, is_replay: true })
}

fn put_outcome(out: &mut Writer, outcome: &Outcome) {
    let (form, id, versions) = match outcome {
        Outcome::Stored { id, version } => (0, id, vec![version]),
        Outcome::Existing { id, version } => (1, id, vec![version]),
        Outcome::Replaced { id, before, after } => (2, id, vec![before, after]),
        Outcome::Unchanged { id, version } => (3, id, vec![version]),
        Outcome::Removed { id, version } => (4, id, vec![version]),
        Outcome::Missing { id } => (5, id, vec![]),
    };
    out.u8(form).fixed(&id.0);
    versions.iter().for_each(|version| {
        out.fixed(&version.0);
    });
}

fn outcome(from: &mut Reader) -> Result<Outcome> {
    let form = from.u8()?;
    let id = MemoryId(from.array()?);
    let mut version = || from.array().map(VersionId);
    Ok(match form {
        0 => Outcome::Stored { id, version: version()? },
        1 => Outcome::Existing { id, version: version()? },
        2 => Outcome::Replaced { id, before: version()?, after: version()? },
        3 => Outcome::Unchanged { id, version: version()? },
        4 => Outcome::Removed { id, version: version()? },
        5 => Outcome::Missing { id },
        _ => return Err(damaged("a stored reply has an unknown form")),
    })
}

fn put_ref(out: &mut Writer, name: &Ref) {
    out.text(name.name.as_str()).u8(kind_number(name.kind)).fixed(&name.commit.0).u32(name.live);
    out.optional_text(name.note.as_deref()).u8(protection_number(name.protection));
    out.time(name.created_at).time(name.moved_at).u8(u8::from(name.is_deleted));
}

fn named(from: &mut Reader) -> Result<Ref> {
    Ok(Ref {
        name: name(from)?,
        kind: kind(from.u8()?)?,
        commit: CommitId(from.array()?),
        live: from.u32()?,
        note: from.optional(Reader::text)?,
        protection: protection(from.u8()?)?,
        created_at: from.time()?,
        moved_at: from.time()?,
        is_deleted: from.u8()? != 0,
    })
}

pub(super) fn name(from: &mut Reader) -> Result<Name> {
    from.text()?.parse().map_err(|error: Error| damaged(&error.message))
}

pub(super) fn kind_number(kind: NameKind) -> u8 {
    match kind {
        NameKind::Branch => 0,
        NameKind::Snapshot => 1,
    }
}

pub(super) fn kind(number: u8) -> Result<NameKind> {
    match number {
        0 => Ok(NameKind::Branch),
        1 => Ok(NameKind::Snapshot),
        _ => Err(damaged("a name is of an unknown kind")),
    }
}

pub(super) fn protection_number(protection: Protection) -> u8 {
    match protection {
        Protection::Open => 0,
        Protection::MergesOnly => 1,
    }
}

pub(super) fn protection(number: u8) -> Result<Protection> {
    match number {
        0 => Ok(Protection::Open),
        1 => Ok(Protection::MergesOnly),
        _ => Err(damaged("a name is protected in an unknown way")),
    }
}

/// The row of a merge in progress.
pub fn pending_bytes(pending: &Pending) -> Vec<u8> {
    let mut out = Writer::default();
    out.fixed(&pending.theirs.0).optional_text(pending.note.as_deref()).time(pending.at);
    let author = &pending.author;
    out.optional_text(author.agent.as_deref()).optional_text(author.agent_version.as_deref());
    out.text(author.session.as_str()).optional_text(author.project.as_ref().map(ProjectId::as_str));
    out.u32(pending.resolutions.len() as u32);
    for resolution in &pending.resolutions {
        out.fixed(&resolution.id.0);
        for side in [resolution.ours, resolution.theirs] {
            match side {
                None => out.u8(0),
                Some(version) => out.u8(1).fixed(&version.0),
            };
        }
        match &resolution.choice {
            Choice::Base => out.u8(0),
            Choice::Ours => out.u8(1),
            Choice::Theirs => out.u8(2),
            Choice::Memory(memory) => out.u8(3).bytes(&memory.encode()),
        };
    }
    out.0
}

pub fn pending(bytes: &[u8]) -> Result<Pending> {
    let mut from = Reader(bytes);
    let theirs = CommitId(from.array()?);
    let (note, at) = (from.optional(Reader::text)?, from.time()?);
    let author = Author {
        agent: from.optional(Reader::text)?,
        agent_version: from.optional(Reader::text)?,
        session: from.id(SessionId::new)?,
        project: from.optional(|from| from.id(ProjectId::new))?,
    };
    let len = from.u32()?;
    let resolutions = (0..len).map(|_| resolution(&mut from)).collect::<Result<_>>()?;
    from.end()?;
    Ok(Pending { theirs, note, author, at, resolutions })
}

fn resolution(from: &mut Reader) -> Result<Resolution> {
    let id = MemoryId(from.array()?);
    let mut side = || from.optional(|from| from.array().map(VersionId));
    let (ours, theirs) = (side()?, side()?);
    let choice = match from.u8()? {
        0 => Choice::Base,
        1 => Choice::Ours,
        2 => Choice::Theirs,
        3 => Choice::Memory(Box::new(Memory::decode(from.bytes()?)?)),
        _ => return Err(damaged("a resolution has an unknown form")),
    };
    Ok(Resolution { id, ours, theirs, choice })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author() -> Author {
        let session = SessionId::new("s").unwrap();
        Author { agent: Some("a".into()), agent_version: None, session, project: ProjectId::new("p").ok() }
    }

    #[test]
    fn a_reply_reads_back_with_its_counts_and_names() {
        let name = Ref {
            name: Name::main(),
            kind: NameKind::Snapshot,
            commit: CommitId([1; 32]),
            live: 7,
            note: Some("before the purge".into()),
            protection: Protection::MergesOnly,
            created_at: Time(1),
            moved_at: Time(2),
            is_deleted: true,
        };
        let applied = Applied {
            commit: Some(CommitId([2; 32])),
            outcomes: vec![Outcome::Missing { id: MemoryId([3; 16]) }],
            counts: Counts { added: 1, changed: 2, removed: 3, conflicts: 4, kept: 5 },
            merged: Some(Merged { merge: CommitId([5; 32]), is_all: true, undone_by: Some(CommitId([6; 32])) }),
            names: vec![name],
            memo: vec![9],
            is_replay: true,
            waits: None,
        };
        let bytes = Reply::encode(Time(8), &applied);
        assert_eq!(Reply::decode(&bytes).unwrap(), Reply::Kept { at: Time(8), applied });
    }

    #[test]
    fn the_reply_to_an_erasure_reads_back_and_every_truncation_is_an_error() {
        let erased = Erased {
            memories: 1,
            versions: 2,
            commits: vec![(Name::main(), CommitId([3; 32]))],
            missing: vec![MemoryId([4; 16])],
            is_replay: true,
        };
        let bytes = Reply::encode_erased(Time(5), &erased);
        assert_eq!(Reply::kept_since(&bytes), Some(Time(5)));
        assert_eq!(Reply::decode(&bytes).unwrap(), Reply::Erased { at: Time(5), erased });
        for len in 0..bytes.len() {
            assert!(Reply::decode(&bytes[..len]).is_err(), "{len} bytes were accepted");
        }
        assert_eq!(
            (Reply::marked_since(&Reply::mark(Time(6))), Reply::kept_since(&Reply::mark(Time(6)))),
            (Some(Time(6)), None)
        );
    }

    #[test]
    fn a_merge_in_progress_reads_back_and_every_truncation_is_an_error() {
        let resolution = |id: u8, choice| Resolution {
            id: MemoryId([id; 16]),
            ours: Some(VersionId([id; 32])),
            theirs: None,
            choice,
        };
        let whole = Pending {
            theirs: CommitId([4; 32]),
            note: Some("merge it".into()),
            author: author(),
            at: Time(5),
            resolutions: vec![resolution(1, Choice::Base), resolution(2, Choice::Theirs)],
        };
        let bytes = pending_bytes(&whole);
        assert_eq!(pending(&bytes).unwrap(), whole);
        for len in 0..bytes.len() {
            assert!(pending(&bytes[..len]).is_err(), "{len} bytes were accepted");
        }
    }
}
