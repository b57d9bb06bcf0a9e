//! A store that another build wrote: refused in a sentence that says what to do, and left as it was.

use memoria::error::ErrorKind;
use redb::TableDefinition;

use crate::{CACHE_BYTES, open};

/// Where every format has its number first.
const META: TableDefinition<(), &[u8]> = TableDefinition::new("meta");

/// What opening a store of this format says, having left every byte of it alone.
fn refusal(format: u32) -> String {
    let home = tempfile::tempdir().unwrap();
    drop(open(home.path()).unwrap());
    let path = home.path().join("memoria.redb");
    let database = redb::Builder::new().set_cache_size(CACHE_BYTES).open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert((), format.to_le_bytes().as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let before = std::fs::read(&path).unwrap();
    let error = open(home.path()).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(std::fs::read(&path).unwrap() == before, "a store of format {format} was changed");
    error.message
}

#[test]
fn a_store_of_the_preview_says_how_to_bring_it_over() {
    let message = refusal(1);
    assert!(message.contains("preview") && message.contains("memoria list"), "{message}");
}

#[test]
fn a_store_of_a_newer_build_asks_for_that_build() {
    let message = refusal(1_000);
    assert!(message.contains("newer") && message.contains("update"), "{message}");
}
