//! Compaction: what no name reaches goes, everything else stays as it was, no number is handed out twice, and an
//! accident in the middle leaves the store as it was before or as it is after.

use memoria::clock;
use memoria::engine::conformance::samples::{ALL, memory, op, write};
use memoria::engine::embedded::Embedded;
use memoria::engine::{At, Engine, Names};
use memoria::error::ErrorKind;
use memoria::model::{
    Change, CommitFilter, Compacted, Expect, Feedback, Filter, Memory, Name, NameChange, NameKind, Plan, Rating,
    Revision, Rule, Signal, Time, Verb, Walk, Work, Write,
};
use redb::{Database, TableDefinition};

use crate::{open, runtime};

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

async fn head(engine: &Embedded, branch: &str) -> At {
    engine.resolve(&Revision::Name(name(branch)), clock::now()).await.unwrap()
}

async fn store(engine: &Embedded, branch: &str, texts: impl IntoIterator<Item = String>) -> Vec<Memory> {
    let memories: Vec<Memory> = texts.into_iter().map(|text| memory(&text)).collect();
    for memory in &memories {
        let work = Work::Changes(vec![Change::Store(memory.clone())]);
        let write = Write { branch: name(branch), work, ..write(Verb::Store, vec![]).unwrap() };
        engine.apply(op(), write).await.unwrap();
    }
    memories
}

async fn rename(engine: &Embedded, change: NameChange) {
    engine.apply(op(), Write { names: vec![change], ..write(Verb::Store, vec![]).unwrap() }).await.unwrap();
}

async fn create(engine: &Embedded, new: &str, kind: NameKind, from: &str) {
    let commit = head(engine, from).await.commit;
    rename(engine, NameChange::Create { name: name(new), kind, commit, note: None }).await;
}

async fn delete(engine: &Embedded, gone: &str) {
    rename(engine, NameChange::Delete { name: name(gone) }).await;
}

#[track_caller]
fn sound(checks: Vec<memoria::model::Check>) {
    let problems: Vec<_> = checks.iter().filter(|check| !check.problems.is_empty()).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

fn notes(what: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{what} note {n} {}", "padding ".repeat(60))).collect()
}

/// Everything that can be read on a branch: its state and every state behind it.
async fn everything(engine: &Embedded, branch: &str) -> Vec<(memoria::model::CommitId, Vec<Memory>)> {
    let at = head(engine, branch).await;
    let (history, _) = engine.history(&at, &CommitFilter::default(), Walk::All, ALL).await.unwrap();
    let mut all = Vec::new();
    for entry in history {
        let at = engine.resolve(&Revision::Commit(entry.id.to_string()), clock::now()).await.unwrap();
        let listed = engine.page(&at, &Filter::default(), ALL).await.unwrap();
        all.push((entry.id, listed.memories.into_iter().map(|version| version.memory).collect()));
    }
    all
}

fn later() -> Time {
    // Names are deleted at the millisecond of the clock.
    std::thread::sleep(std::time::Duration::from_millis(3));
    clock::now()
}

#[test]
fn what_was_said_of_a_memory_goes_when_no_version_of_it_stays() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        let kept = store(&engine, "main", notes("main", 2)).await;
        create(&engine, "aside", NameKind::Branch, "main").await;
        let lost = store(&engine, "aside", notes("aside", 2)).await;
        let ids = [kept[0].id, lost[0].id];
        let ratings = ids.map(|id| Rating { id, said: Feedback::word(Signal::Useful, Time(1)) }).to_vec();
        engine.apply(op(), Write { ratings, ..write(Verb::Store, vec![]).unwrap() }).await.unwrap();
        delete(&engine, "aside").await;
        assert_eq!(engine.compact(later()).await.unwrap().versions, 2);
        let said = engine.feedback(&ids).await.unwrap();
        assert_eq!(said.iter().map(|said| said.useful).collect::<Vec<_>>(), [1, 0]);
        sound(engine.verify().await.unwrap());
    });
}

#[test]
fn what_no_name_reaches_goes_and_the_rest_stays_as_it_was() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        store(&engine, "main", notes("main", 20)).await;
        create(&engine, "aside", NameKind::Branch, "main").await;
        let lost = store(&engine, "aside", notes("aside", 30)).await;
        create(&engine, "mark", NameKind::Snapshot, "aside").await;
        store(&engine, "aside", notes("more", 5)).await;
        store(&engine, "main", notes("later", 3)).await;
        delete(&engine, "aside").await;
        delete(&engine, "mark").await;
        engine.rest().await.unwrap();
        let (before, main) = (engine.status(clock::now()).await.unwrap(), everything(&engine, "main").await);
        assert_eq!(before.unreachable, 35, "what compaction could free is said beforehand");

        let compacted = engine.compact(later()).await.unwrap();
        assert_eq!((compacted.versions, compacted.commits, compacted.names), (35, 35, 2), "{compacted:?}");
        assert!(compacted.bytes_after < compacted.bytes_before, "{compacted:?}");
        assert_eq!(everything(&engine, "main").await, main);
        let restored =
            Write { names: vec![NameChange::Restore { name: name("aside") }], ..write(Verb::Store, vec![]).unwrap() };
        let error = engine.apply(op(), restored).await.err().map(|error| error.kind);
        assert_eq!(error, Some(ErrorKind::NotFound), "a name came back without what it reached");
        assert_eq!(engine.names(Names::All).await.unwrap().len(), 1);
        let (found, _) =
            engine.containing(&head(&engine, "main").await, &["aside".into()], &Filter::default(), 0).await.unwrap();
        assert_eq!(found, []);
        let gone = engine.read(&head(&engine, "main").await, &[lost[0].id]).await.unwrap();
        assert_eq!(gone, [None]);
        sound(engine.verify().await.unwrap());
        let after = engine.status(clock::now()).await.unwrap();
        assert_eq!((after.unreachable, after.memories), (0, 23));

        // New numbers are no old ones, before and after another opening.
        store(&engine, "main", notes("new", 2)).await;
        drop(engine);
        let engine = open(home.path()).unwrap();
        store(&engine, "main", notes("newer", 2)).await;
        let (found, total) =
            engine.containing(&head(&engine, "main").await, &["newer".into()], &Filter::default(), 0).await.unwrap();
        assert_eq!((found.len(), total), (2, 2));
        sound(engine.verify().await.unwrap());
        assert_eq!(engine.compact(later()).await.unwrap().versions, 0, "there is nothing left to forget");
        sound(engine.verify().await.unwrap());
    });
}

#[test]
fn a_little_is_taken_out_without_a_new_file() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        store(&engine, "main", notes("main", 400)).await;
        // The file as small as it gets, so that what follows is a small part of it.
        engine.compact(later()).await.unwrap();
        create(&engine, "aside", NameKind::Branch, "main").await;
        store(&engine, "aside", notes("aside", 3)).await;
        delete(&engine, "aside").await;
        let main = everything(&engine, "main").await.len();
        // Deleted a moment ago, and asked about a time that is past: within its grace.
        let hour = 3_600_000;
        let kept = engine.compact(clock::now().plus_ms(-hour)).await.unwrap();
        assert_eq!((kept.versions, kept.commits, kept.names), (0, 0, 0));
        rename(&engine, NameChange::Restore { name: name("aside") }).await;
        assert_eq!(head(&engine, "aside").await.live, 403);
        drop(engine);
        age_names(home.path(), 2 * hour);
        let engine = open(home.path()).unwrap();
        delete(&engine, "aside").await;
        drop(engine);
        age_names(home.path(), 2 * hour);
        let engine = open(home.path()).unwrap();
        let compacted = engine.compact(clock::now().plus_ms(-hour)).await.unwrap();
        assert_eq!((compacted.versions, compacted.commits, compacted.names), (3, 3, 1), "{compacted:?}");
        assert_eq!(everything(&engine, "main").await.len(), main);
        sound(engine.verify().await.unwrap());
    });
}

#[test]
fn much_is_left_behind_in_the_old_file_once_its_grace_is_over() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        let hour = 3_600_000;
        store(&engine, "main", notes("main", 20)).await;
        create(&engine, "aside", NameKind::Branch, "main").await;
        store(&engine, "aside", notes("aside", 200)).await;
        delete(&engine, "aside").await;
        drop(engine);
        age_names(home.path(), 2 * hour);
        let engine = open(home.path()).unwrap();
        let main = everything(&engine, "main").await;
        let compacted = engine.compact(clock::now().plus_ms(-hour)).await.unwrap();
        assert_eq!((compacted.versions, compacted.commits, compacted.names), (200, 200, 1), "{compacted:?}");
        // How large the old file is depends on random ids, from 1.4 times the new one to more than twice.
        assert!(compacted.bytes_after * 5 < compacted.bytes_before * 4, "{compacted:?}");
        assert_eq!(std::fs::metadata(home.path().join("memoria.redb")).unwrap().len(), compacted.bytes_after);
        assert_eq!(everything(&engine, "main").await, main);
        sound(engine.verify().await.unwrap());
    });
}

/// Makes every move of every name in the closed store so much older.
fn age_names(home: &std::path::Path, ms: i64) {
    const NAMES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("names");
    let database = Database::open(home.join("memoria.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut names = transaction.open_table(NAMES).unwrap();
        let mut rows = Vec::new();
        while let Some((key, row)) = names.pop_first().unwrap() {
            rows.push((key.value().to_vec(), row.value().to_vec()));
        }
        for (mut key, row) in rows {
            let at = key.len() - 12;
            let time = u64::from_be_bytes(key[at..at + 8].try_into().unwrap()) - ms as u64;
            key[at..at + 8].copy_from_slice(&time.to_be_bytes());
            names.insert(key.as_slice(), row.as_slice()).unwrap();
        }
    }
    transaction.commit().unwrap();
}

#[test]
fn what_was_merged_or_renamed_or_waits_to_be_merged_stays() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        let shared = store(&engine, "main", notes("main", 3)).await.remove(0);
        for branch in ["merged", "waiting", "called"] {
            create(&engine, branch, NameKind::Branch, "main").await;
        }
        store(&engine, "merged", notes("merged", 2)).await;
        store(&engine, "called", notes("called", 2)).await;
        let then = later();
        rename(&engine, NameChange::Rename { name: name("called"), new: name("renamed") }).await;
        let merge = |theirs| Plan::Merge { theirs, rule: Rule::Fail, resolutions: vec![] };
        let apply = async |branch: &str, verb, work| {
            let write = Write { branch: name(branch), work, ..write(verb, vec![]).unwrap() };
            engine.apply(op(), write).await.unwrap()
        };
        let theirs = head(&engine, "merged").await.commit;
        apply("main", Verb::Merge, Work::Plan(merge(theirs))).await;
        for branch in ["main", "waiting"] {
            let memory = Memory { text: format!("what {branch} says"), ..shared.clone() };
            let change = Change::Replace { memory, expect: Expect::Live };
            apply(branch, Verb::Correct, Work::Changes(vec![change])).await;
        }
        let theirs = head(&engine, "waiting").await.commit;
        let waiting = apply("main", Verb::Merge, Work::Plan(merge(theirs))).await;
        assert_eq!((waiting.commit, waiting.counts.conflicts), (None, 1));
        delete(&engine, "merged").await;
        delete(&engine, "waiting").await;
        let main = everything(&engine, "main").await;

        let compacted = engine.compact(later()).await.unwrap();
        assert_eq!(
            compacted,
            Compacted {
                names: 2,
                bytes_after: compacted.bytes_after,
                ..Compacted { bytes_before: compacted.bytes_before, ..Default::default() }
            }
        );
        assert_eq!(everything(&engine, "main").await, main);
        let past = engine.resolve(&Revision::At(name("renamed"), then), clock::now()).await.unwrap();
        assert_eq!(past.commit, head(&engine, "renamed").await.commit, "a renamed branch has lost its past");
        let pending = engine.pending(&Name::main()).await.unwrap().expect("the merge still waits");
        assert_eq!(pending.theirs, theirs);
        assert!(engine.commit(theirs).await.is_ok());
        sound(engine.verify().await.unwrap());
        drop(engine);
        sound(open(home.path()).unwrap().verify().await.unwrap());
    });
}

#[test]
fn marks_of_operations_go_after_three_months() {
    const OPS: TableDefinition<&[u8; 24], &[u8]> = TableDefinition::new("ops");
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    drop(open(home.path()).unwrap());
    let day = 24 * 3_600_000;
    let mark = |days: i64| [&[0][..], &clock::now().plus_ms(-days * day).0.to_le_bytes()].concat();
    {
        let database = Database::open(home.path().join("memoria.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(OPS).unwrap().insert(&[1; 24], mark(89).as_slice()).unwrap();
        transaction.open_table(OPS).unwrap().insert(&[2; 24], mark(91).as_slice()).unwrap();
        transaction.commit().unwrap();
    }
    let engine = open(home.path()).unwrap();
    runtime.block_on(async {
        let compacted = engine.compact(clock::now().plus_ms(-day)).await.unwrap();
        assert_eq!(compacted.marks, 1);
        let known = |bytes: u8| memoria::model::OpId::from_bytes([bytes; 24]);
        assert_eq!(engine.replayed(known(1)).await.err().map(|error| error.kind), Some(ErrorKind::Expired));
        assert_eq!(engine.replayed(known(2)).await.unwrap(), None);
        sound(engine.verify().await.unwrap());
    });
}
