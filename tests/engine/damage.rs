//! Damaged, foreign and newer files: one clear sentence, no panic, and the file left as it was. And `verify`: each
//! promise that it names is one whose breaking it finds.

use std::fs;
use std::path::Path;

use memoria::engine::Engine;
use memoria::engine::conformance::samples::{apply, memory};
use memoria::engine::embedded::Embedded;
use memoria::error::{Error, ErrorKind};
use memoria::model::{Change, Expect, Memory, Verb};
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
            let change = Change::Replace { memory: other, expect: Expect::Live };
            apply(&engine, Verb::Correct, vec![change]).await.unwrap();
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
    let (mut refused, mut found) = (0, 0);
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
            }
        }
    }
    println!("{refused} stores were refused, in {found} verify found the damage");
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
const HASHED: [TableDefinition<&[u8; 32], u32>; 2] =
    [TableDefinition::new("version_ids"), TableDefinition::new("commit_ids")];
const PAIRED: [TableDefinition<&[u8; 20], ()>; 3] =
    [TableDefinition::new("memories"), TableDefinition::new("touches"), TableDefinition::new("texts")];

/// Breaks one promise in the closed store, and says what verify must call broken.
type Break = (&'static str, fn(&redb::WriteTransaction));

const BREAKS: &[Break] = &[
    ("bytes hash to its id", |transaction| flip(transaction, NUMBERED[0], 3)),
    ("bytes hash to its id", |transaction| drop_first(transaction, HASHED[0])),
    ("Every commit hashes", |transaction| flip(transaction, NUMBERED[1], 3)),
    ("Every commit hashes", |transaction| drop_first(transaction, HASHED[1])),
    ("Look-ups by version id", |transaction| drop_pair(transaction, PAIRED[0])),
    ("history of every memory", |transaction| drop_pair(transaction, PAIRED[1])),
    ("Look-ups by version id", |transaction| drop_pair(transaction, PAIRED[2])),
    ("history of every memory", |transaction| {
        transaction.open_table(PAIRED[1]).unwrap().insert(&[9; 20], ()).unwrap();
    }),
    ("Every stored state equals", |transaction| {
        // As many memories as there should be, but one of them is an old version.
        let mut row = Vec::new();
        roaring::RoaringBitmap::from([0, 3, 4]).serialize_into(&mut row).unwrap();
        transaction.open_table(NUMBERED[2]).unwrap().insert(5, row.as_slice()).unwrap();
    }),
    ("counts are right", |transaction| {
        let mut commits = transaction.open_table(NUMBERED[1]).unwrap();
        let mut row = commits.get(5).unwrap().unwrap().value().to_vec();
        row[20] ^= 1; // a byte of the token count
        commits.insert(5, row.as_slice()).unwrap();
    }),
    ("Every name", |transaction| {
        let mut moves = transaction.open_table(TableDefinition::<&[u8], u32>::new("moves")).unwrap();
        let last = moves.last().unwrap().unwrap().0.value().to_vec();
        moves.insert(last.as_slice(), 3).unwrap();
    }),
    ("remembered operation", |transaction| {
        let mut ops = transaction.open_table(TableDefinition::<&[u8; 24], &[u8]>::new("ops")).unwrap();
        ops.insert(&[1; 24], [1, 2, 3].as_slice()).unwrap();
    }),
];

/// Changes the last byte of a row.
fn flip(transaction: &redb::WriteTransaction, table: TableDefinition<u32, &[u8]>, number: u32) {
    let mut table = transaction.open_table(table).unwrap();
    let mut row = table.get(number).unwrap().unwrap().value().to_vec();
    *row.last_mut().unwrap() ^= 1;
    table.insert(number, row.as_slice()).unwrap();
}

fn drop_first(transaction: &redb::WriteTransaction, table: TableDefinition<&[u8; 32], u32>) {
    transaction.open_table(table).unwrap().pop_first().unwrap();
}

fn drop_pair(transaction: &redb::WriteTransaction, table: TableDefinition<&[u8; 20], ()>) {
    transaction.open_table(table).unwrap().pop_first().unwrap();
}

#[test]
fn verify_finds_every_broken_promise() {
    let home = tempfile::tempdir().unwrap();
    let (whole, runtime) = (a_store(home.path()), runtime());
    let verify = |engine: &Embedded| runtime.block_on(engine.verify()).unwrap();
    let sound = verify(&open(home.path()).unwrap());
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
