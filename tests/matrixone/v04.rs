//! A database of Memoria v0.4, made here with its own tables, and imported by the command.

use serde_json::{Value, json};

use crate::maria::{PASSWORD, USER, beside_a_runtime, pool, shared};
use crate::server::Database;
use crate::support::Home;

/// `{vector}` is what the server has for vectors.
const TABLES: &[&str] = &[
    "create table mem_memories (memory_id varchar(64) primary key, user_id varchar(64), author_id varchar(64), \
     subject_id varchar(128), memory_type varchar(20), content text, embedding {vector}, session_id varchar(64), \
     source_event_ids json not null, extra_metadata json, is_active tinyint(1) not null default 1, \
     superseded_by varchar(64), trust_tier varchar(10) default 'T1', initial_confidence float default 0.95, \
     observed_at datetime(6) not null, created_at datetime(6) not null, updated_at datetime(6))",
    "create table mem_branches (id varchar(64) primary key, user_id varchar(64), name varchar(100), \
     table_name varchar(100), status varchar(20), created_at datetime(6))",
    "create table mem_snapshots (id varchar(64) primary key, user_id varchar(64), name varchar(100), \
     snapshot_name varchar(100), extra json, status varchar(20), created_at datetime(6))",
    "create table mem_memories_stats (memory_id varchar(64) primary key, access_count int default 0, \
     last_accessed_at datetime(6), feedback_useful int default 0, feedback_irrelevant int default 0, \
     feedback_outdated int default 0, feedback_wrong int default 0, last_feedback_at datetime(6))",
    "create table mem_retrieval_feedback (id varchar(64) primary key, user_id varchar(64) not null, \
     memory_id varchar(64) not null, `signal` varchar(16) not null, context text, created_at datetime(6) not null)",
];

fn memory(table: &str, id: &str, text: &str, day: u32, more: (&str, &str)) -> String {
    let (active, next) = more;
    format!(
        "insert into {table} (memory_id, user_id, memory_type, content, session_id, source_event_ids, extra_metadata, \
         is_active, superseded_by, trust_tier, initial_confidence, observed_at, created_at) values ('{id}', 'ann', \
         'semantic', '{text}', 's1', '[]', '{{\"team\": \"core\"}}', {active}, {next}, 'T2', 0.8, \
         '2026-01-0{day} 10:00:00', '2026-01-0{day} 10:00:00')"
    )
}

/// A chain of two corrections, one that was purged, two branches with the same one more, and feedback: on what holds,
/// on what was corrected since, on what is in several places.
fn story(vector: &str) -> Vec<String> {
    let mut all: Vec<String> = TABLES.iter().map(|table| table.replace("{vector}", vector)).collect();
    let live = ("1", "null");
    for table in ["mem_memories", "br_idea", "br_twin"] {
        if table != "mem_memories" {
            all.push(TABLES[0].replace("mem_memories", table).replace("{vector}", vector));
        }
        all.push(memory(table, "z1", "we deploy with Jenkins", 1, ("0", "'b2'")));
        all.push(memory(table, "b2", "we deploy with GitHub Actions", 3, ("0", "'a3'")));
        all.push(memory(table, "a3", "we deploy with Buildkite", 5, live));
        all.push(memory(table, "gone", "nobody needs this", 2, ("0", "null")));
        all.push(memory(table, "kept", "the rate limit is 100", 4, live));
    }
    all.push(memory("br_idea", "more", "queues are an idea", 6, live));
    all.push("update br_idea set is_active = 0 where memory_id = 'kept'".to_owned());
    all.push(memory("br_twin", "more", "queues are an idea", 6, live));
    for branch in ["idea", "twin"] {
        let row = format!("('{branch}', 'ann', '{branch}', 'br_{branch}', 'active', now())");
        all.push(format!("insert into mem_branches values {row}"));
    }
    for row in ["('a3', 7, null, 5, 1, 0, 0, null)", "('b2', 2, null, 1, 0, 2, 0, null)"] {
        all.push(format!("insert into mem_memories_stats values {row}"));
    }
    // One word was said before such words were counted.
    for (number, (id, signal, day)) in
        [("a3", "useful", 6), ("b2", "useful", 3), ("b2", "outdated", 4), ("more", "wrong", 7)].into_iter().enumerate()
    {
        all.push(format!(
            "insert into mem_retrieval_feedback values ('{number}', 'ann', '{id}', '{signal}', null, \
             '2026-01-0{day} 10:00:00')"
        ));
    }
    all
}

fn texts(of: &Value) -> Vec<&str> {
    of["memories"].as_array().unwrap().iter().map(|memory| memory["text"].as_str().unwrap()).collect()
}

fn imported(home: &Home, url: &str, password: &str) -> Value {
    let mut command = home.memoria();
    command.env("MEMORIA_MATRIXONE_PASSWORD", password).args(["import", url, "--keep-trust", "--json"]);
    let output = command.output().unwrap();
    assert!(output.status.code().is_some_and(|code| [0, 6].contains(&code)), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

fn judge(home: &Home, url: &str, password: &str) -> Value {
    let said = imported(home, url, password);
    // Two corrections, one purge, and on the branch one that went.
    assert_eq!((&said["stored"], &said["changed"], &said["branches"]), (&5.into(), &4.into(), &2.into()), "{said}");
    let list = home.json(&["list"]);
    assert_eq!(texts(&list), ["we deploy with Buildkite", "the rate limit is 100"]);
    assert_eq!(texts(&home.json(&["list", "--branch", "idea"])), ["queues are an idea", "we deploy with Buildkite"]);
    let deploy = &list["memories"][0];
    assert_eq!((&deploy["trust"], &deploy["metadata"]["team"]), (&"T2".into(), &"core".into()), "{deploy}");
    assert_eq!(deploy["metadata"]["v04"]["access_count"], 7);
    let feedback = json!({"useful": 6, "irrelevant": 1, "outdated": 2, "wrong": 0,
        "useful_at": "2026-01-06T10:00:00.000Z", "doubted_at": "2026-01-04T10:00:00.000Z"});
    assert_eq!(deploy["feedback"], feedback, "of the whole chain, once");
    assert_eq!(texts(&home.json(&["list", "--branch", "twin"])).len(), 3);
    let more = &home.json(&["list", "--branch", "idea"])["memories"][0];
    assert_eq!((&more["text"], &more["feedback"]["wrong"]), (&"queues are an idea".into(), &1.into()), "{more}");
    let history = home.json(&["log", "--memory", deploy["id"].as_str().unwrap()]);
    assert_eq!(history["commits"].as_array().unwrap().len(), 3, "stored, and corrected twice: {history}");
    let again = imported(home, url, password);
    assert_eq!((&again["stored"], &again["changed"]), (&0.into(), &0.into()), "{again}");
    said
}

#[test]
fn an_old_database_comes_with_corrections_as_history_branches_and_feedback() {
    let Some(maria) = shared() else { return };
    let url = maria.url("v04");
    beside_a_runtime(move |handle| {
        let pool = pool(&url, handle);
        story("blob").iter().for_each(|sql| pool.read(|session| session.text(sql)).unwrap());
    });
    let home = Home::new();
    let said = judge(&home, &format!("mysql://{USER}@127.0.0.1:{}/v04", maria.port), PASSWORD);
    assert_eq!(said["problems"], serde_json::json!([]), "{said}");
}

#[test]
fn matrixone_has_snapshots_of_the_old_database_too() {
    let Some(database) = Database::fresh("v04") else { return };
    let pool = database.pool();
    let run = |sql: &str| pool.read(|session| session.text(sql)).unwrap();
    story("vecf32(4)").iter().for_each(|sql| run(sql));
    let name = database.url().rsplit('/').next().unwrap().to_owned();
    let native = format!("mem_snap_{}", std::process::id());
    run(&format!("create snapshot {native} for database `{name}`"));
    run(&memory("mem_memories", "late", "said after the snapshot", 7, ("1", "null")));
    run(&format!("insert into mem_snapshots values ('1', 'ann', 'before', '{native}', '{{}}', 'active', now())"));
    run("insert into mem_snapshots values ('2', 'ann', 'lost', 'mem_snap_lost', '{}', 'active', now())");
    let home = Home::new();
    let said = imported(&home, &database.url(), "");
    run(&format!("drop snapshot {native}"));
    assert_eq!((&said["snapshots"], &said["branches"]), (&1.into(), &2.into()), "{said}");
    assert!(said["problems"].to_string().contains("`lost` cannot be read any more"), "{said}");
    assert_eq!(texts(&home.json(&["list", "--at", "before"])).len(), 2);
    assert_eq!(texts(&home.json(&["list"])).len(), 3);
}
