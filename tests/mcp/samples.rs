//! Answers of a daemon about branches, diffs and merges, with fixed ids and times, so that replies can be compared
//! letter by letter.

use memoria::model::{
    Author, CommitId, Counts, Feedback, Memory, MemoryId, Merged, Name, NameKind, ProjectId, Protection, Ref,
    SessionId, Signal, SubjectId, Time, Trust,
};
use memoria::wire::message::{
    Alike, Blamed, Branches, Briefed, Changed, Conflicted, Diffed, LogEntry, Logged, Mode, Moved, Past, Point,
    Profiled, Rated, Shaped, Similar, SnapshotEntry, Snapshots,
};

use crate::backend::{memory, point, shaped};

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn fixed(number: u8, text: &str) -> Memory {
    Memory { id: MemoryId([number; 16]), ..memory(text) }
}

pub fn rated() -> Rated {
    let feedback = Feedback { useful: 2, wrong: 3, ..Feedback::default() };
    Rated { id: MemoryId([1; 16]), short_len: 8, signal: Signal::Wrong, feedback }
}

pub fn profiled() -> Profiled {
    let others = vec![(SubjectId::new("ann").ok(), 2), (None, 1)];
    let memories = vec![shaped(fixed(1, "prefers small commits"))];
    Profiled { point: point(), subject: SubjectId::new("bob").ok(), memories, total: 3, others }
}

pub fn side(number: u8, text: &str) -> Option<Shaped> {
    Some(shaped(fixed(number, text)))
}

pub fn changed(number: u8, before: Option<&str>, after: Option<&str>) -> Changed {
    let side = |text: Option<&str>| text.and_then(|text| side(number, text));
    Changed { id: MemoryId([number; 16]), short_len: 8, before: side(before), after: side(after) }
}

pub fn state(text: &str, number: u8, live: u32) -> Point {
    Point { commit: CommitId([number; 32]), name: Some(name(text)), at: Time(1_790_000_000_000), live }
}

pub fn of(text: &str, kind: NameKind, note: Option<&str>) -> Ref {
    Ref {
        name: name(text),
        kind,
        commit: CommitId([0xc1; 32]),
        live: 7,
        note: note.map(str::to_owned),
        protection: Protection::Open,
        created_at: Time(1_790_000_000_000),
        moved_at: Time(1_790_000_060_000),
        is_deleted: false,
    }
}

pub fn entry(number: u8, agent: Option<&str>, note: Option<&str>, text: &str) -> LogEntry {
    LogEntry {
        commit: CommitId([number; 32]),
        parents: vec![CommitId([0xaa; 32]), CommitId([0xbb; 32])],
        author: Author {
            agent: agent.map(str::to_owned),
            agent_version: Some("1".to_owned()),
            session: SessionId::new("s1").unwrap(),
            project: Some(ProjectId::new("here").unwrap()),
        },
        verb: "store".to_owned(),
        note: note.map(str::to_owned),
        about: vec![CommitId([0xab; 32])],
        at: Time(1_790_000_000_000),
        added: 2,
        removed: 1,
        touched: vec![(MemoryId([9; 16]), text.to_owned())],
        flags: Vec::new(),
    }
}

pub fn counts(added: u32, changed: u32, removed: u32) -> Counts {
    Counts { added, changed, removed, ..Counts::default() }
}

pub fn branches() -> Branches {
    let main = Ref { protection: Protection::MergesOnly, ..of("main", NameKind::Branch, None) };
    let branches = vec![main, of("try/one", NameKind::Branch, Some("an idea"))];
    Branches { branches, current: name("main"), merging: vec![name("try/one")], masked: vec![], flagged: vec![] }
}

pub fn snapshots() -> Snapshots {
    let snapshot = of("nightly", NameKind::Snapshot, Some("before the import"));
    Snapshots {
        snapshots: vec![SnapshotEntry { snapshot, since: counts(5, 1, 0), native: None }],
        total: 3,
        branch: name("main"),
        masked: Vec::new(),
        flagged: vec![(name("nightly"), vec!["instructs the reader".to_owned()])],
    }
}

pub fn diffed() -> Diffed {
    let mut trusted = changed(3, Some("same words"), Some("same words"));
    trusted.after.as_mut().unwrap().memory.trust = Trust::T1;
    Diffed {
        from: state("nightly", 1, 10),
        to: state("main", 2, 11),
        counts: counts(2, 2, 1),
        changes: vec![
            changed(1, None, Some("new fact")),
            changed(2, Some("old words"), Some("new words")),
            trusted,
            changed(4, Some("gone"), None),
        ],
        alike: vec![Alike {
            added: MemoryId([1; 16]),
            like: Similar { memory: shaped(fixed(5, "new facts")), percent: 91 },
        }],
    }
}

/// A merge that was done.
pub fn moved() -> Moved {
    Moved {
        verb: "merge".to_owned(),
        branch: name("main"),
        mode: Mode::Do,
        commit: Some(CommitId([0xcd; 32])),
        counts: counts(1, 0, 0),
        changes: vec![changed(1, None, Some("new fact"))],
        conflicts: Vec::new(),
        kept: Vec::new(),
        commits: Vec::new(),
        merged: None,
        safety: Some(name("before-merge")),
        is_pending: false,
        masked: Vec::new(),
    }
}

/// One that waits for its conflicts.
pub fn waiting() -> Moved {
    let conflict = Conflicted {
        id: MemoryId([6; 16]),
        short_len: 8,
        base: side(6, "what both began with"),
        ours: side(6, "what we say"),
        theirs: None,
        settled: None,
    };
    let counts = Counts { conflicts: 1, ..counts(1, 0, 0) };
    Moved {
        commit: None,
        safety: None,
        is_pending: true,
        counts,
        conflicts: vec![conflict],
        changes: vec![],
        ..moved()
    }
}

/// A selective rollback that kept somebody's later work.
pub fn rolled_back() -> Moved {
    Moved {
        verb: "rollback".to_owned(),
        counts: Counts { kept: 1, ..counts(0, 0, 500) },
        changes: vec![changed(1, Some("false fact"), None)],
        kept: vec![changed(7, None, Some("honest correction"))],
        commits: vec![entry(0xee, Some("reader"), Some("from a web page"), "false fact")],
        safety: Some(name("before-rollback")),
        ..moved()
    }
}

/// Merged before, and taken back since.
pub fn merged_before() -> Moved {
    let merged = Merged { merge: CommitId([0xa1; 32]), is_all: true, undone_by: Some(CommitId([0xa2; 32])) };
    let (commit, safety, changes) = (None, None, Vec::new());
    Moved { merged: Some(merged), commit, safety, changes, counts: Counts::default(), ..moved() }
}

pub fn logged() -> Logged {
    let commits = vec![entry(0xc1, Some("cursor"), Some("a note"), "a text"), entry(0xc2, None, None, "another")];
    Logged {
        point: point(),
        commits,
        total: 9,
        names: vec![of("nightly", NameKind::Snapshot, None)],
        flagged: Vec::new(),
    }
}

pub fn blamed() -> Blamed {
    let (stored, removed) = (entry(0xc1, Some("cursor"), Some("a note"), "x"), entry(0xc2, None, None, "x"));
    let past = |commit, text: Option<&str>, trust| Past {
        commit,
        text: text.map(str::to_owned),
        trust,
        confidence: None,
        before: None,
        flags: Vec::new(),
        before_flags: Vec::new(),
    };
    Blamed {
        memory: shaped(fixed(1, "what it said")),
        is_live: false,
        history: vec![past(removed, None, None), past(stored, Some("what it said"), Some(Trust::T3))],
        history_total: 3,
    }
}

pub fn briefed() -> Briefed {
    Briefed {
        text: "Memoria: what is remembered here.".to_owned(),
        point: point(),
        project: None,
        told: Vec::new(),
        left_out: 0,
        withheld: 0,
        news: None,
        open_conflicts: None,
    }
}
