//! Erasing, compacting, verifying and repairing on a real server: what is gone is in no row, and what is damaged is
//! found and mended.

use std::thread;
use std::time::Duration;

use memoria::clock;
use memoria::engine::conformance::samples::{memory, op, write};
use memoria::engine::matrixone::MatrixOne;
use memoria::engine::matrixone::pool::Pool;
use memoria::engine::{Engine, Erase, Names};
use memoria::model::{Change, Check, Erased, Expect, Memory, Name, NameChange, NameKind, Revision, Verb, Work, Write};

use crate::server::{Database, runtime};

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

fn database(of: &str) -> Option<Database> {
    let database = Database::fresh(of);
    if database.is_none() {
        println!("SKIPPED: 1 test of {of}, since MEMORIA_TEST_MATRIXONE_URL names no server");
    }
    database
}

async fn store(engine: &MatrixOne, branch: &str, text: &str) -> Memory {
    let memory = memory(text);
    let work = Work::Changes(vec![Change::Store(memory.clone())]);
    let write = Write { branch: name(branch), work, ..write(Verb::Store, vec![]).unwrap() };
    engine.apply(op(), write).await.unwrap();
    memory
}

async fn rename(engine: &MatrixOne, change: NameChange) {
    engine.apply(op(), Write { names: vec![change], ..write(Verb::Store, vec![]).unwrap() }).await.unwrap();
}

async fn create(engine: &MatrixOne, new: &str, kind: NameKind, from: &str) {
    let commit = engine.resolve(&Revision::Name(name(from)), clock::now()).await.unwrap().commit;
    rename(engine, NameChange::Create { name: name(new), kind, commit, note: None }).await;
}

async fn live(engine: &MatrixOne, branch: &str) -> u32 {
    engine.resolve(&Revision::Name(name(branch)), clock::now()).await.unwrap().live
}

#[track_caller]
fn sound(checks: Vec<Check>) {
    let problems: Vec<_> = checks.iter().filter(|check| !check.problems.is_empty()).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Work that blocks, which a runtime's own thread may not.
fn apart<T: Send>(work: impl FnOnce(&Pool) -> T + Send, database: &Database) -> T {
    thread::scope(|scope| scope.spawn(|| work(&database.pool())).join().unwrap())
}

/// In how many rows of all tables a text is found.
fn found(database: &Database, text: &str) -> u64 {
    apart(|pool| found_by(pool, text), database)
}

/// Snapshots of the server's own that are ours.
fn natives(database: &Database) -> u64 {
    let count = "select count(*) from mo_catalog.mo_snapshots where database_name = database() \
                 and sname like 'memoria\\_%'";
    let found = apart(|pool| pool.read(|session| session.first(count, vec![])).unwrap(), database);
    found.unwrap().take(0).unwrap()
}

fn found_by(pool: &Pool, text: &str) -> u64 {
    let tables = "select table_name from information_schema.tables where table_schema = database()";
    let tables: Vec<String> = pool
        .read(|session| session.rows(tables, vec![]))
        .unwrap()
        .into_iter()
        .map(|mut row| row.take(0).unwrap())
        .collect();
    let mut count = 0;
    for table in tables.iter().filter(|table| !table.starts_with("__mo")) {
        let columns = "select column_name from information_schema.columns where table_schema = database() \
                       and table_name = ?";
        let columns: Vec<String> = pool
            .read(|session| session.rows(columns, vec![table.as_str().into()]))
            .unwrap()
            .into_iter()
            .map(|mut row| row.take(0).unwrap())
            .filter(|column: &String| !column.starts_with("__mo"))
            .collect();
        let digits: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
        for column in columns {
            let sql = format!("select count(*) from {table} where hex({column}) like '%{digits}%'");
            let rows = pool.read(|session| session.text_rows(&sql)).unwrap();
            count += rows.into_iter().map(|mut row| row.take::<u64, _>(0).unwrap()).sum::<u64>();
        }
    }
    count
}

#[test]
fn it_erases_from_every_row_and_still_verifies() {
    let Some(database) = database("erase") else { return };
    let engine = database.engine();
    runtime().block_on(async {
        let secret = store(&engine, "main", "the zebra knows the password").await;
        store(&engine, "main", "what stays").await;
        create(&engine, "aside", NameKind::Branch, "main").await;
        create(&engine, "mark", NameKind::Snapshot, "main").await;
        let corrected = Memory { text: "the zebra knows another".to_owned(), ..secret.clone() };
        let correct = vec![Change::Replace { memory: corrected, expect: Expect::Live }];
        engine.apply(op(), write(Verb::Correct, correct).unwrap()).await.unwrap();
        assert!(found(&database, "zebra") > 0, "the test looks in the wrong places");
        assert_eq!(natives(&database), 1, "`mark` has a snapshot of the server's own behind it");
        sound(engine.verify().await.unwrap());

        let author = write(Verb::Erase, vec![]).unwrap().author;
        let strange = memory("never stored").id;
        let ask = Erase { ids: vec![secret.id, strange], author, note: None, at: clock::now() };
        let op = op();
        let erased = engine.erase(op, ask.clone()).await.unwrap();
        assert_eq!((erased.memories, erased.versions, erased.commits.len()), (1, 2, 2), "{erased:?}");
        assert_eq!(erased.missing, [strange]);
        assert_eq!((found(&database, "zebra"), natives(&database)), (0, 0));
        assert_eq!((live(&engine, "main").await, live(&engine, "aside").await, live(&engine, "mark").await), (1, 1, 1));
        sound(engine.verify().await.unwrap());
        let again = engine.erase(op, ask).await.unwrap();
        assert_eq!(Erased { is_replay: false, ..again }, erased, "the second answer is another");

        // Another daemon that knew the states of before hears of it.
        let other = database.engine();
        assert_eq!(live(&other, "mark").await, 1);
        store(&other, "aside", "goes on").await;
        sound(engine.verify().await.unwrap());
    });
}

#[test]
fn it_forgets_what_no_name_reaches() {
    let Some(database) = database("compact") else { return };
    let engine = database.engine();
    runtime().block_on(async {
        store(&engine, "main", "stays").await;
        create(&engine, "aside", NameKind::Branch, "main").await;
        for text in ["goes first", "goes second"] {
            store(&engine, "aside", text).await;
        }
        create(&engine, "kept", NameKind::Snapshot, "aside").await;
        store(&engine, "aside", "goes alone").await;
        let nothing = engine.compact(clock::now()).await.unwrap();
        assert_eq!((nothing.versions, nothing.commits, nothing.names), (0, 0, 0));
        assert_eq!(engine.status(clock::now()).await.unwrap().unreachable, 0);
        rename(&engine, NameChange::Delete { name: name("aside") }).await;
        assert_eq!(engine.status(clock::now()).await.unwrap().unreachable, 1, "what compaction could free is said");
        thread::sleep(Duration::from_millis(3));
        let compacted = engine.compact(clock::now()).await.unwrap();
        assert_eq!((compacted.versions, compacted.commits, compacted.names), (1, 1, 1), "{compacted:?}");
        sound(engine.verify().await.unwrap());
        rename(&engine, NameChange::Delete { name: name("kept") }).await;
        assert_eq!(engine.status(clock::now()).await.unwrap().unreachable, 2);
        thread::sleep(Duration::from_millis(3));
        let compacted = engine.compact(clock::now()).await.unwrap();
        assert_eq!((compacted.versions, compacted.commits, compacted.names), (2, 2, 1), "{compacted:?}");
        sound(engine.verify().await.unwrap());
        assert_eq!(engine.status(clock::now()).await.unwrap().unreachable, 0);
        assert_eq!(found(&database, "goes"), 0);
        assert_eq!(engine.names(Names::All).await.unwrap().len(), 1);
        // Numbers are never given twice.
        create(&engine, "aside", NameKind::Branch, "main").await;
        store(&engine, "aside", "comes").await;
        sound(engine.verify().await.unwrap());
    });
}

#[test]
fn it_finds_what_is_damaged_and_mends_what_follows_from_truth() {
    let Some(database) = database("repair") else { return };
    let engine = database.engine();
    runtime().block_on(async {
        for text in ["the first", "the second", "the third"] {
            store(&engine, "main", text).await;
        }
        create(&engine, "aside", NameKind::Branch, "main").await;
        store(&engine, "aside", "the fourth").await;
        sound(engine.verify().await.unwrap());
        let damages = [
            "delete from live_1 where vid = 0",
            "update live_1 set agent = 'somebody else' where vid = 1",
            "update versions set observed_at = 5 where vid = 2",
            "delete from words where vid = 1",
        ];
        let run = |sql: &'static str| apart(|pool| pool.read(|session| session.text(sql)).unwrap(), &database);
        for damage in damages {
            run(damage);
            let problems: usize = engine.verify().await.unwrap().iter().map(|check| check.problems.len()).sum();
            assert!(problems > 0, "nobody noticed `{damage}`");
            sound(engine.repair().await.unwrap());
            sound(engine.verify().await.unwrap());
        }
        run("update versions set canonical = 'xx' where vid = 1");
        let problems: usize = engine.verify().await.unwrap().iter().map(|check| check.problems.len()).sum();
        assert!(problems > 0, "nobody noticed that truth itself is damaged");
    });
}
