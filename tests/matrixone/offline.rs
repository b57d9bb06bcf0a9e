//! Memories that wait for a server that is away, with real programs: they survive kill -9, are told of, go to no other
//! store, and arrive once and in order.

use std::sync::Arc;

use memoria::clock;
use memoria::engine::conformance::samples::{ALL, memory, op, write};
use memoria::engine::matrixone::offline::Offline;
use memoria::engine::{Engine, Names};
use memoria::error::{Error, ErrorKind};
use memoria::model::{Change, Filter, Name, Revision, Verb, Write};
use serde_json::{Value, json};

use crate::proxy::{Proxy, Weather};
use crate::server::{Database, port, runtime, url};
use crate::support::{Agent, Home, eventually, seed, setting};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

/// At an address, with a queue, and with little patience.
fn home(url: &str) -> Home {
    Home::with(&[
        ("MEMORIA_ENGINE_KIND", "matrixone"),
        ("MEMORIA_MATRIXONE_URL", url),
        ("MEMORIA_MATRIXONE_OFFLINE_QUEUE", "true"),
        ("MEMORIA_MATRIXONE_DEADLINE_MS", "1000"),
        ("MEMORIA_MATRIXONE_CONNECT_MS", "500"),
    ])
}

/// A port of this machine where nobody listens.
const NOWHERE: &str = "mysql://somebody@127.0.0.1:1/memoria";

fn waiting(home: &Home) -> Value {
    home.json(&["status"])["waiting"].clone()
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn memories_wait_through_kill_9_and_everybody_is_told() {
    let home = home(NOWHERE);
    for (number, text) in ["the first", "the key is AKIAIOSFODNN7EXAMPLE", "the third"].into_iter().enumerate() {
        let stored = home.json(&["store", text]);
        assert_eq!((&stored["waits"], &stored["version"]), (&json!(number + 1), &Value::Null), "{stored}");
    }
    let mut agent = Agent::introduced(&home, "an agent");
    let told = agent.call("memory_store", json!({"content": "the fourth"}));
    assert_eq!(told["waits"], 4, "{told}");
    home.kill_9();
    home.await_no_daemon();
    let told = agent.call("memory_store", json!({"content": "the fifth"}));
    assert_eq!(told["waits"], 5, "{told}");
    agent.leave();

    let status = waiting(&home);
    assert_eq!((&status["count"], &status["refused"]), (&json!(5), &json!(0)), "{status}");
    assert!(status["since"].is_string() && status["problem"].is_string(), "{status}");
    let shown = said(&home.run(&["status"]));
    assert!(shown.contains("5 memories for the server since"), "{shown}");
    let doctor = home.run(&["doctor", "--json"]);
    let doctor: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let is_told = |check: &Value| check["what"] == "waiting" && check["verdict"] == "weak";
    assert!(doctor["checks"].as_array().unwrap().iter().any(is_told), "{doctor:#}");

    for command in [&["retrieve", "the first"][..], &["branch", "idea"][..], &["list"][..]] {
        let output = home.run(command);
        let why = said(&output);
        assert!(!output.status.success() && why.contains("(5 memories) waits and is sent first"), "{command:?}: {why}");
    }
    let bytes = std::fs::read(home.data().join("waiting.queue")).unwrap();
    assert!(!bytes.windows(KEY.len()).any(|some| some == KEY.as_bytes()), "secrets are masked before they wait");
    let file = home.path().join("kept.jsonl");
    home.json(&["export", "--waiting", file.to_str().unwrap()]);
    let lines = std::fs::read_to_string(file).unwrap();
    let texts: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(texts.len(), 5);
    assert_eq!((&texts[0]["text"], &texts[4]["text"]), (&json!("the first"), &json!("the fifth")));
}

#[test]
fn without_the_setting_nothing_waits() {
    let home = home(NOWHERE).and("MEMORIA_MATRIXONE_OFFLINE_QUEUE", "false");
    let output = home.run(&["store", "the first"]);
    assert!(!output.status.success() && said(&output).contains("127.0.0.1"), "{output:?}");
    assert_eq!(waiting(&home), Value::Null);
    assert!(!home.data().join("waiting.queue").exists());
}

#[test]
fn what_waits_for_one_store_is_not_left_behind_for_another() {
    let home = home(NOWHERE);
    home.json(&["store", "the first"]);
    let moved = said(&home.run(&["move", "--to", "embedded", "--yes"]));
    assert!(moved.contains("(1 memory) waits in"), "{moved}");
    home.run(&["stop"]);
    let home = home.and("MEMORIA_ENGINE_KIND", "embedded");
    let refused = said(&home.run(&["store", "the second"]));
    assert!(refused.contains("waiting.queue") && refused.contains("export --waiting"), "{refused}");
    // The way that the sentence shows.
    let file = home.path().join("kept.jsonl");
    home.json(&["export", "--waiting", file.to_str().unwrap()]);
    std::fs::remove_file(home.data().join("waiting.queue")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    home.json(&["import", file.to_str().unwrap()]);
    assert_eq!(home.json(&["list"])["memories"][0]["text"], "the first");
}

mod matrixone {
    use super::*;

    /// Through the proxy, to a database of the test's own.
    fn through(proxy: &Proxy, database: &Database) -> String {
        let own = url().unwrap();
        let (head, _) = own.rsplit_once(':').unwrap();
        format!("{head}:{}/{}", proxy.port, database.url().rsplit('/').next().unwrap())
    }

    #[test]
    fn fifty_that_waited_arrive_once_and_in_order_though_the_daemon_dies_while_it_sends() {
        let Some(database) = Database::fresh("queue") else { return };
        let proxy = Proxy::to(port(), seed());
        let home = home(&through(&proxy, &database));
        home.json(&["store", "before the weather"]);
        proxy.set(Weather::Refuses);
        let texts: Vec<String> = (0..50).map(|n| format!("fact number {n}, told while nobody listened")).collect();
        let mut agent = Agent::introduced(&home, "an agent");
        for (n, text) in texts.iter().enumerate() {
            let told = agent.call("memory_store", json!({"content": text}));
            assert_eq!(told["waits"], n + 1, "{told}");
        }
        proxy.set(Weather::Cuts { bytes_max: 200_000 });
        std::thread::sleep(std::time::Duration::from_millis(200));
        home.kill_9();
        proxy.set(Weather::Clear);
        let told = agent.call("memory_store", json!({"content": "after the weather"}));
        agent.leave();
        eventually("all were sent", || waiting(&home)["count"] == 0);
        assert!(told["waits"].is_null() || told["waits"].is_number(), "{told}");
        home.run(&["stop"]);
        let arrived = runtime().block_on(async {
            let straight = database.engine();
            let at = straight.resolve(&Revision::Name(Name::main()), clock::now()).await.unwrap();
            straight.scan(&at, &Filter::default(), 0, 1_000).await.unwrap().versions
        });
        let arrived: Vec<String> = arrived.into_iter().map(|version| version.memory.text).collect();
        let mut expected = vec!["before the weather".to_owned()];
        expected.extend(texts);
        expected.push("after the weather".to_owned());
        assert_eq!(arrived, expected, "each once, in the order of the numbers that versions got");
    }

    #[test]
    fn the_server_applies_what_waited_once_and_lists_what_it_refuses() {
        let Some(database) = Database::fresh("queue_cuts") else { return };
        let folder = tempfile::tempdir().unwrap();
        let files = (folder.path().join("waiting.queue"), folder.path().join("refused.queue"));
        let queue = Arc::new(Offline::open(&files.0, &files.1).unwrap());
        let proxy = Proxy::to(port(), seed());
        runtime().block_on(async {
            let straight = database.engine();
            let main = Revision::Name(Name::main());
            straight.resolve(&main, clock::now()).await.unwrap();
            let through = database.engine_with(proxy.port, &queue);
            proxy.set(Weather::Cuts { bytes_max: 30_000 });
            let count = setting("MEMORIA_ROUNDS", 60);
            let mut orders = Vec::new();
            for n in 0..count {
                let order = (op(), write(Verb::Store, vec![Change::Store(memory(&format!("note {n}")))]).unwrap());
                if n == 7 {
                    proxy.set(Weather::Refuses);
                    let branch = "never-made".parse().unwrap();
                    let lost = Write { branch, ..write(Verb::Store, vec![Change::Store(memory("lost"))]).unwrap() };
                    assert!(through.apply(op(), lost).await.unwrap().waits.is_some());
                    proxy.set(Weather::Cuts { bytes_max: 30_000 });
                }
                through.apply(order.0, order.1.clone()).await.unwrap();
                orders.push(order);
            }
            proxy.set(Weather::Clear);
            // Each again, as a shim does that did not hear its answer: and whatever is asked comes after what waits.
            for (op, order) in &orders {
                let again = through.apply(*op, order.clone()).await.unwrap();
                assert!(again.is_replay || again.waits.is_some(), "{again:?}");
            }
            through.names(Names::Living).await.unwrap();
            let at = straight.resolve(&main, clock::now()).await.unwrap();
            let listing = straight.page(&at, &Filter::default(), ALL).await.unwrap();
            assert_eq!((listing.memories.len() as u64, queue.count()), (count, 0));
            let standing = queue.standing();
            assert_eq!(standing.refused, 1, "{standing:?}");
            assert!(standing.refused_why.unwrap().contains("never-made"));
            let gone = through.keep(op(), orders[0].1.clone(), Error::denied("no")).await.unwrap_err();
            assert_eq!(gone.kind, ErrorKind::Denied);
            for check in straight.verify().await.unwrap() {
                assert!(check.problems.is_empty(), "{check:?}");
            }
        });
    }
}
