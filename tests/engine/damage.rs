//! Damaged, foreign and newer files: one clear sentence, no panic, and the file left as it was. And `verify`: each
//! promise that it names is one whose breaking it finds.

use std::fs;
use std::path::Path;

use memoria::clock;
use memoria::engine::Engine;
use memoria::engine::conformance::samples::{ALL, apply, memory, op, write};
use memoria::engine::embedded::Embedded;
use memoria::error::{Error, ErrorKind};
use memoria::model::{
    Change, Embedding, Expect, Feedback, Filter, Memory, Name, Rating, Revision, Signal, Space, Time, Unembedded, Verb,
    Write,
};
use redb::{Database, ReadableTable, TableDefinition};

use crate::{Rng, open, rounds, runtime, seed};

/// A closed store with a few commits; its bytes.
fn a_store(home: &Path) -> Vec<u8> {
    let engine = open(home).unwrap();
    runtime().block_on(async {
        for n in 0..20 {
            let first = memory(&format!("note {n}"));
            let other = Memory { text: format!("note {n}, corrected"), ..first.clone() };
            apply(&engine, Verb::Store, vec![Change::Store(first)]).await.unwrap();
            let ratings = vec![Rating { id: other.id, said: Feedback::word(Signal::Useful, Time(1)) }];
            let change = Change::Replace { memory: other, expect: Expect::Live };
            engine.apply(op(), Write { ratings, ..write(Verb::Correct, vec![change]).unwrap() }).await.unwrap();
        }
    });
    drop(engine);
    fs::read(home.join("memoria.redb")).unwrap()
}

/// Opening this file is refused in a sentence that names it, and changes nothing.
fn refused(home: &Path, bytes: &[u8]) -> Error {
    let path = home.join("memoria.redb");
    fs::write(&path, bytes).unwrap();
    let error = open(home).err().expect("a file that is no store was opened");
    assert!(error.message.contains(path.to_str().unwrap()), "{error} does not say which file");
    assert!(fs::read(&path).unwrap() == bytes, "a file that was refused was changed");
    error
}

#[test]
fn a_file_that_is_not_a_store_is_refused_and_left_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let mut rng = Rng(7);
    let noise: Vec<u8> = (0..100_000).map(|_| rng.draw() as u8).collect();
    for bytes in [&b""[..], b"x", b"SQLite format 3\0", &[0; 4096], &noise] {
        let error = refused(home.path(), bytes);
        assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    }
}

#[test]
fn a_truncated_store_is_refused_and_left_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let whole = a_store(home.path());
    for part in 1..12 {
        let error = refused(home.path(), &whole[..whole.len() * part / 12]);
        assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    }
    fs::write(home.path().join("memoria.redb"), &whole).unwrap();
    open(home.path()).expect("the whole file opens");
}

#[test]
fn another_programs_redb_file_is_refused_and_left_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("other.redb");
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u32, u32>::new("theirs")).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = refused(home.path(), &fs::read(&path).unwrap());
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
}

#[test]
fn a_store_of_a_newer_memoria_is_refused_and_left_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    a_store(home.path());
    tamper(home.path(), |transaction| {
        let mut meta = transaction.open_table(TableDefinition::<(), &[u8]>::new("meta")).unwrap();
        let mut row = meta.get(()).unwrap().unwrap().value().to_vec();
        row[0] += 1;
        meta.insert((), row.as_slice()).unwrap();
    });
    let error = refused(home.path(), &fs::read(home.path().join("memoria.redb")).unwrap());
    assert!(error.message.contains("newer") && error.message.contains("update"), "{error}");
}

#[test]
fn a_store_that_counts_further_than_any_store_gets_is_refused_and_left_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let whole = a_store(home.path());
    for counter in [28, 32] {
        fs::write(home.path().join("memoria.redb"), &whole).unwrap();
        tamper(home.path(), |transaction| {
            let mut meta = transaction.open_table(TableDefinition::<(), &[u8]>::new("meta")).unwrap();
            let mut row = meta.get(()).unwrap().unwrap().value().to_vec();
            row[counter + 3] ^= 1 << 6;
            meta.insert((), row.as_slice()).unwrap();
        });
        let error = refused(home.path(), &fs::read(home.path().join("memoria.redb")).unwrap());
        assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    }
}

#[test]
fn a_store_that_another_process_has_open_is_not_opened_twice() {
    let home = tempfile::tempdir().unwrap();
    let _first = open(home.path()).unwrap();
    let error = open(home.path()).err().expect("two engines share a file");
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
}

#[test]
fn flipped_bytes_never_panic_a_reader_and_verify_never_fails_to_answer() {
    let home = tempfile::tempdir().unwrap();
    let (whole, runtime, mut rng) = (a_store(home.path()), runtime(), Rng(seed()));
    let path = home.path().join("memoria.redb");
    let (mut refused, mut found, mut mended) = (0, 0, 0);
    for _ in 0..rounds(60) {
        let mut bytes = whole.clone();
        for _ in 0..1 + rng.below(40) {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << rng.below(8);
        }
        fs::write(&path, &bytes).unwrap();
        fs::remove_dir_all(home.path().join("derived")).unwrap();
        match open(home.path()) {
            Err(error) => {
                refused += 1;
                assert!(matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Internal), "{:?}: {error}", error.kind);
                assert!(fs::read(&path).unwrap() == bytes, "a file that was refused was changed");
            }
            Ok(engine) => {
                let checks = runtime.block_on(engine.verify()).expect("verify answers, whatever it finds");
                found += u64::from(problems(&checks) > 0);
                let repaired = runtime.block_on(engine.repair());
                drop(engine);
                if let Ok(checks) = repaired {
                    mended += u64::from(problems(&checks) == 0);
                    open(home.path()).expect("a store that was repaired opens");
                }
            }
        }
    }
    println!("{refused} stores were refused, in {found} verify found the damage, {mended} are whole again");
}

fn problems(checks: &[memoria::model::Check]) -> usize {
    checks.iter().map(|check| check.problems.len()).sum()
}

fn tamper(home: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(home.join("memoria.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

const NUMBERED: [TableDefinition<u32, &[u8]>; 3] =
    [TableDefinition::new("versions"), TableDefinition::new("commits"), TableDefinition::new("states")];
const COMMIT_IDS: TableDefinition<&[u8; 32], u32> = TableDefinition::new("commit_ids");
const TOUCHES: TableDefinition<u64, ()> = TableDefinition::new("touches");
const FEEDBACK: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("feedback");
const ERASED: TableDefinition<(), &[u8]> = TableDefinition::new("erased");
const NAMES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("names");
const PENDING: TableDefinition<&str, &[u8]> = TableDefinition::new("pending");
const OPS: TableDefinition<&[u8; 24], &[u8]> = TableDefinition::new("ops");

/// Where the row of a whole version has the number of its memory, and its text.
const FIRST_AT: usize = 5;
const TEXT_AT: usize = 47;

/// Breaks one promise in the closed store, and says what verify must call broken.
type Break = (&'static str, fn(&redb::WriteTransaction));

const BREAKS: &[Break] = &[
    // The length of its last field.
    ("Every version can be read", |transaction| {
        change(transaction, NUMBERED[0], 3, |row| *row.last_mut().unwrap() ^= 1)
    }),
    ("Every version can be read", |transaction| change(transaction, NUMBERED[0], 3, |row| row[FIRST_AT] = 0)),
    ("Every commit and every version", |transaction| change(transaction, NUMBERED[0], 3, |row| row[TEXT_AT] ^= 1)),
    ("Every commit and every version", |transaction| {
        transaction.open_table(NUMBERED[0]).unwrap().remove(3).unwrap();
    }),
    ("Every version can be read", |transaction| {
        let mut versions = transaction.open_table(NUMBERED[0]).unwrap();
        let row = versions.get(3).unwrap().unwrap().value().to_vec();
        versions.insert(1_000, row.as_slice()).unwrap();
    }),
    ("Exactly the versions that were erased", |transaction| {
        let mut row = Vec::new();
        roaring::RoaringBitmap::from([3]).serialize_into(&mut row).unwrap();
        transaction.open_table(ERASED).unwrap().insert((), row.as_slice()).unwrap();
    }),
    ("Every commit and every version", |transaction| {
        change(transaction, NUMBERED[1], 3, |row| *row.last_mut().unwrap() ^= 1);
    }),
    ("Every commit and every version", |transaction| {
        transaction.open_table(COMMIT_IDS).unwrap().pop_first().unwrap();
    }),
    ("history of every memory", |transaction| {
        transaction.open_table(TOUCHES).unwrap().pop_first().unwrap();
    }),
    ("history of every memory", |transaction| {
        transaction.open_table(TOUCHES).unwrap().insert(u64::MAX, ()).unwrap();
    }),
    ("What was said of memories", |transaction| {
        let mut feedback = transaction.open_table(FEEDBACK).unwrap();
        let row = feedback.first().unwrap().unwrap().1.value().to_vec();
        feedback.insert(&[7; 16], row.as_slice()).unwrap();
    }),
    ("What was said of memories", |transaction| {
        transaction.open_table(FEEDBACK).unwrap().insert(&[7; 16], [9].as_slice()).unwrap();
    }),
    ("Every stored state equals", |transaction| {
        // As many memories as there should be, but one of them is an old version.
        let mut row = Vec::new();
        roaring::RoaringBitmap::from([0, 3, 4]).serialize_into(&mut row).unwrap();
        transaction.open_table(NUMBERED[2]).unwrap().insert(5, row.as_slice()).unwrap();
    }),
    // A byte of the token count.
    ("counts are right", |transaction| change(transaction, NUMBERED[1], 5, |row| row[20] ^= 1)),
    ("Every name", |transaction| {
        let mut names = transaction.open_table(NAMES).unwrap();
        let (key, mut row) = {
            let first = names.first().unwrap().unwrap();
            (first.0.value().to_vec(), first.1.value().to_vec())
        };
        row[1..5].copy_from_slice(&4_000u32.to_le_bytes());
        names.insert(key.as_slice(), row.as_slice()).unwrap();
    }),
    ("Every name", |transaction| {
        transaction.open_table(PENDING).unwrap().insert("main", [1, 2, 3].as_slice()).unwrap();
    }),
    ("remembered operation", |transaction| {
        transaction.open_table(OPS).unwrap().insert(&[1; 24], [1, 2, 3].as_slice()).unwrap();
    }),
];

fn change(
    transaction: &redb::WriteTransaction,
    table: TableDefinition<u32, &[u8]>,
    number: u32,
    change: impl FnOnce(&mut Vec<u8>),
) {
    let mut table = transaction.open_table(table).unwrap();
    let mut row = table.get(number).unwrap().unwrap().value().to_vec();
    change(&mut row);
    table.insert(number, row.as_slice()).unwrap();
}

/// What promises of vectors are checked on.
async fn a_vector(engine: &Embedded) {
    let space = Space { model: "any-1".parse().unwrap(), dims: 2 };
    let pending = engine.unembedded(&space, 1).await.unwrap().into_iter();
    let of = |it: Unembedded| Embedding { slot: it.slot, version: it.version, vector: vec![0.6, 0.8] };
    engine.embed(&space, pending.map(of).collect()).await.unwrap();
}

#[test]
fn verify_finds_every_broken_promise() {
    let home = tempfile::tempdir().unwrap();
    let (whole, runtime) = (a_store(home.path()), runtime());
    let verify = |engine: &Embedded| runtime.block_on(engine.verify()).unwrap();
    let engine = open(home.path()).unwrap();
    runtime.block_on(a_vector(&engine));
    let sound = verify(&engine);
    drop(engine);
    assert_eq!(problems(&sound), 0, "a sound store is said to be broken: {sound:?}");
    assert!(sound.iter().all(|check| check.checked > 0), "a promise was checked on nothing: {sound:?}");
    for (n, (promise, change)) in BREAKS.iter().enumerate() {
        fs::write(home.path().join("memoria.redb"), &whole).unwrap();
        tamper(home.path(), change);
        let checks = verify(&open(home.path()).unwrap_or_else(|error| panic!("break {n}: {error}")));
        let broken = checks.iter().find(|check| check.promise.contains(promise)).expect("the promise is still made");
        assert!(!broken.problems.is_empty(), "break {n} went unnoticed: {checks:?}");
    }
}

#[test]
fn repair_names_what_is_lost_and_keeps_everything_else() {
    let (home, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let whole = a_store(home.path());
    let everything = |engine: &Embedded| {
        runtime.block_on(async {
            let at = engine.resolve(&Revision::Name(Name::main()), clock::now()).await.unwrap();
            let listed = engine.page(&at, &Filter::default(), ALL).await.unwrap();
            let mut texts: Vec<String> = listed.memories.into_iter().map(|version| version.memory.text).collect();
            texts.sort();
            (texts, at.commit)
        })
    };
    let engine = open(home.path()).unwrap();
    let (before, head) = everything(&engine);
    drop(engine);
    // What a sound store says, each look-up, each stored state and one version's bytes.
    for lost in [None, Some(3)] {
        fs::write(home.path().join("memoria.redb"), &whole).unwrap();
        // The index knows each version's place.
        runtime.block_on(open(home.path()).unwrap().rest()).unwrap();
        tamper(home.path(), |transaction| {
            transaction.open_table(COMMIT_IDS).unwrap().retain(|_, _| false).unwrap();
            transaction.open_table(TOUCHES).unwrap().retain(|_, _| false).unwrap();
            transaction.open_table(OPS).unwrap().insert(&[1; 24], [1, 2, 3].as_slice()).unwrap();
            transaction.open_table(NUMBERED[2]).unwrap().insert(7, [1, 2, 3].as_slice()).unwrap();
            if let Some(vid) = lost {
                change(transaction, NUMBERED[0], vid, |row| *row.last_mut().unwrap() ^= 1);
            }
        });
        let engine = open(home.path()).unwrap();
        let checks = runtime.block_on(engine.repair()).unwrap();
        let (read, others) = checks.split_first().unwrap();
        let named = read.problems.iter().filter(|problem| problem.contains("version 3")).count();
        assert_eq!((named, read.problems.len()), (lost.iter().len(), 1 + lost.iter().len()), "{read:?}");
        assert_eq!(problems(others), 0, "{others:#?}");
        drop(engine);
        let engine = open(home.path()).unwrap();
        let (after, head_after) = everything(&engine);
        let expected: Vec<String> =
            before.iter().filter(|text| lost.is_none() || *text != "note 1, corrected").cloned().collect();
        assert_eq!((after, head_after), (expected, head));
        assert_eq!(problems(&runtime.block_on(engine.verify()).unwrap()), 0);
    }
}
