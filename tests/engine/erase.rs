//! Erasure: the bytes of an erased memory are in no file, its hashes stay in history, and no accident in the middle
//! of it shows the memory again or leaves half of the work undone.

use std::path::Path;

use memoria::clock;
use memoria::engine::conformance::samples::{ALL, apply, memory, op, write};
use memoria::engine::embedded::Embedded;
use memoria::engine::{At, Engine, Erase};
use memoria::error::{ErrorKind, Result};
use memoria::model::{
    Author, Change, Choice, CommitFilter, Erased, Expect, Filter, Memory, MemoryId, Name, NameChange, NameKind, OpId,
    Origin, Plan, Progress, ProjectId, Resolution, Revision, Rule, SessionId, Source, SubjectId, Verb, Walk, Work,
    Write,
};

use crate::scanner::{Trace, found, text_key_trace, traces, word_traces};
use crate::{open, runtime};

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

async fn head(engine: &Embedded, branch: &str) -> At {
    engine.resolve(&Revision::Name(name(branch)), clock::now()).await.unwrap()
}

/// A write on a branch.
fn on(branch: &str, verb: Verb, work: Work) -> Write {
    Write { branch: name(branch), work, ..write(verb, vec![]).unwrap() }
}

async fn create(engine: &Embedded, new: &str, kind: NameKind, from: &str) {
    let commit = head(engine, from).await.commit;
    let create = NameChange::Create { name: name(new), kind, commit, note: None };
    let write = Write { names: vec![create], ..write(Verb::Store, vec![]).unwrap() };
    engine.apply(op(), write).await.unwrap();
}

async fn change(engine: &Embedded, branch: &str, change: Change) {
    engine.apply(op(), on(branch, Verb::Store, Work::Changes(vec![change]))).await.unwrap();
}

fn erase_of(ids: Vec<MemoryId>) -> Erase {
    let author = Author { agent: None, agent_version: None, session: SessionId::new("eraser").unwrap(), project: None };
    Erase { ids, author, note: Some("on request".into()), at: clock::now() }
}

async fn erase(engine: &Embedded, ids: &[MemoryId]) -> Result<Erased> {
    engine.erase(op(), erase_of(ids.to_vec())).await
}

#[track_caller]
fn sound(checks: Vec<memoria::model::Check>) {
    let problems: Vec<_> = checks.iter().filter(|check| !check.problems.is_empty()).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

/// What marks one version of the secret memory: every field that can hold text holds a word of its own.
fn secret(id: MemoryId, version: &str) -> (Memory, Vec<Trace>, Vec<Trace>) {
    let canary = |field: &str| format!("zq{version}x{field}kv7wjy");
    // What JSON would escape must be found, too.
    let text = format!("the key \"{}\" grüßt", canary("text"));
    let memory = Memory {
        id,
        text: text.clone(),
        tags: [canary("tag")].into(),
        project: ProjectId::new(canary("project")).ok(),
        session: SessionId::new(canary("session")).ok(),
        subject: SubjectId::new(canary("subject")).ok(),
        origin: Origin {
            source: Source::Tool,
            agent: Some(canary("agent")),
            agent_version: Some(canary("build")),
            session: SessionId::new(canary("origin")).ok(),
            tool: Some(canary("tool")),
            file: Some(canary("file")),
        },
        metadata: format!("{{\"{}\":1}}", canary("metadata")),
        ..memory("")
    };
    let fields =
        ["text", "tag", "project", "session", "subject", "agent", "build", "origin", "tool", "file", "metadata"];
    let certain = fields.iter().map(|field| (format!("{version} {field} as it is"), canary(field).into_bytes()));
    let certain: Vec<Trace> = certain.collect();
    let mut all: Vec<Trace> =
        fields.iter().flat_map(|field| traces(&format!("{version} {field}"), &canary(field))).collect();
    all.extend(traces(&format!("{version} text"), &text));
    all.extend(word_traces(version, &text, &["the key grüßt", ORDINARY]));
    all.push(text_key_trace(version, &memory));
    (memory, certain, all)
}

const ORDINARY: &str = "an ordinary note about the key of the back door";

/// A store in which the secret memory is everywhere that a memory can be: several versions, living and deleted
/// branches, snapshots, a merge in progress, flushed and unflushed.
async fn a_store_with_secrets(engine: &Embedded, id: MemoryId) -> (Vec<Trace>, Vec<Trace>) {
    let versions = ["a", "b", "c", "d", "e", "f"].map(|version| secret(id, version));
    let [a, b, c, d, e, f] = versions.clone().map(|(memory, ..)| memory);
    let replace = |memory: &Memory| Change::Replace { memory: memory.clone(), expect: Expect::Live };
    for n in 0..5 {
        change(engine, "main", Change::Store(memory(&format!("{ORDINARY} {n}")))).await;
    }
    change(engine, "main", Change::Store(a)).await;
    create(engine, "before", NameKind::Snapshot, "main").await;
    change(engine, "main", replace(&b)).await;
    for branch in ["side", "gone"] {
        create(engine, branch, NameKind::Branch, "main").await;
    }
    change(engine, "gone", replace(&c)).await;
    let delete =
        Write { names: vec![NameChange::Delete { name: name("gone") }], ..write(Verb::Store, vec![]).unwrap() };
    engine.apply(op(), delete).await.unwrap();
    engine.rest().await.unwrap();
    change(engine, "side", replace(&d)).await;
    change(engine, "main", replace(&e)).await;
    // A merge whose conflict is settled by a text that exists nowhere else.
    let theirs = head(engine, "side").await.commit;
    let plan = Plan::Merge { theirs, rule: Rule::Fail, resolutions: vec![] };
    engine.apply(op(), on("main", Verb::Merge, Work::Plan(plan))).await.unwrap();
    let main = head(engine, "main").await;
    let (ours, theirs) =
        (version_at(engine, &main, id).await, version_at(engine, &head(engine, "side").await, id).await);
    let settled = Resolution { id, ours, theirs, choice: Choice::Memory(Box::new(f)) };
    let write = Write { progress: Progress::Resolve(vec![settled]), ..on("main", Verb::Merge, Work::Changes(vec![])) };
    engine.apply(op(), write).await.unwrap();
    let certain = versions.iter().flat_map(|(_, certain, _)| certain.clone()).collect();
    (certain, versions.into_iter().flat_map(|(.., all)| all).collect())
}

async fn version_at(engine: &Embedded, at: &At, id: MemoryId) -> Option<memoria::model::VersionId> {
    engine.read(at, &[id]).await.unwrap().remove(0).map(|version| version.id)
}

/// All of the erased, wherever one could ask.
async fn never_shown(engine: &Embedded, id: MemoryId) {
    for branch in ["main", "side", "before"] {
        let at = head(engine, branch).await;
        assert_eq!(engine.read(&at, &[id]).await.unwrap(), [None], "{branch} still has it");
        let listed = engine.page(&at, &Filter::default(), ALL).await.unwrap();
        assert!(listed.memories.iter().all(|version| version.memory.id != id), "{branch} still lists it");
        assert_eq!(listed.total, 5, "{branch} lost others");
        let (holding, _) = engine.containing(&at, &["grüßt".into()], &Filter::default(), 0).await.unwrap();
        assert_eq!(holding, [], "{branch} still finds it");
    }
    let at = head(engine, "main").await;
    let (history, _) = engine.history(&at, &CommitFilter::default(), Walk::All, ALL).await.unwrap();
    for entry in history {
        let commit = engine.commit(entry.id).await.unwrap();
        let known = engine.versions(&[commit.added, commit.removed].concat()).await.unwrap();
        assert!(known.iter().flatten().all(|memory| memory.id != id), "commit {} still tells it", entry.id);
    }
}

fn scan(home: &Path, certain: &[Trace], all: &[Trace]) -> (usize, std::collections::BTreeSet<String>) {
    let missing = certain.iter().filter(|trace| found(home, std::slice::from_ref(*trace)).is_empty()).count();
    (missing, found(home, all))
}

#[test]
fn erased_bytes_are_nowhere() {
    let (home, runtime, id) = (tempfile::tempdir().unwrap(), runtime(), MemoryId::random());
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        let (certain, all) = a_store_with_secrets(&engine, id).await;
        // Some of it flushed long ago, the rest not yet.
        assert!(engine.status(clock::now()).await.unwrap().unflushed > 0);
        let (missing, before) = scan(home.path(), &certain, &all);
        assert_eq!(missing, 0, "the scanner does not see what must be there: {before:#?}");
        assert!(before.iter().any(|what| what.contains("'s word")), "no hash of a word was found: {before:#?}");

        let erased = erase(&engine, &[id]).await.unwrap();
        assert_eq!((erased.memories, erased.versions, erased.missing.len()), (1, 5, 0));
        let branches: Vec<&str> = erased.commits.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(branches, ["main", "side"]);
        assert_eq!(found(home.path(), &all), Default::default());

        never_shown(&engine, id).await;
        sound(engine.verify().await.unwrap());
        engine.rest().await.unwrap();
        assert_eq!(found(home.path(), &all), Default::default());
        // A name that comes back brings nothing back with it.
        let restore = NameChange::Restore { name: name("gone") };
        engine.apply(op(), Write { names: vec![restore], ..write(Verb::Store, vec![]).unwrap() }).await.unwrap();
        assert_eq!(engine.read(&head(&engine, "gone").await, &[id]).await.unwrap(), [None]);
        drop(engine);
        let engine = open(home.path()).unwrap();
        never_shown(&engine, id).await;
        sound(engine.verify().await.unwrap());
        engine.rest().await.unwrap();
        drop(engine);
        assert_eq!(found(home.path(), &all), Default::default());
        let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "something is left over: {left:?}");
    });
}

#[test]
fn erasing_again_says_what_the_first_said() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        let (kept, gone, unknown) = (memory("kept"), memory("gone"), MemoryId::random());
        apply(&engine, Verb::Store, vec![Change::Store(kept.clone()), Change::Store(gone.clone())]).await.unwrap();
        let (op, ask) = (op(), erase_of(vec![gone.id, unknown, gone.id]));
        let first = engine.erase(op, ask.clone()).await.unwrap();
        assert_eq!((first.memories, first.versions, &first.missing[..]), (1, 1, &[unknown][..]));
        let again = engine.erase(op, ask.clone()).await.unwrap();
        assert_eq!(again, Erased { is_replay: true, ..first });
        let other = engine.erase(OpId { line: 2, ..op }, ask).await.unwrap();
        assert_eq!((other.memories, other.commits.len()), (0, 0));
        assert_eq!(other.missing, [gone.id, unknown], "what was erased before is reported");
        let at = head(&engine, "main").await;
        assert_eq!((at.live, engine.read(&at, &[kept.id, gone.id]).await.unwrap()[1].is_none()), (1, true));
        let error = engine.apply(op, write(Verb::Store, vec![]).unwrap()).await.err();
        assert_eq!(error.map(|error| error.kind), Some(ErrorKind::Invalid), "an erasure's operation is no other");
        sound(engine.verify().await.unwrap());
    });
}

#[test]
fn an_erased_memory_that_was_purged_before_leaves_no_commit() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        let gone = memory("gone");
        apply(&engine, Verb::Store, vec![Change::Store(gone.clone())]).await.unwrap();
        let purge = Change::Remove { id: gone.id, expect: Expect::Live };
        apply(&engine, Verb::Purge, vec![purge]).await.unwrap();
        let before = head(&engine, "main").await;
        let erased = erase(&engine, &[gone.id]).await.unwrap();
        assert_eq!((erased.memories, erased.versions, erased.commits.len()), (1, 1, 0));
        assert_eq!(head(&engine, "main").await.commit, before.commit);
        sound(engine.verify().await.unwrap());
    });
}
