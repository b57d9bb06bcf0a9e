//! JSON-RPC, life-cycles and versions.

use std::sync::atomic::Ordering;

use memoria::wire::message::{Keep, Request};
use serde_json::{Value, json};

use crate::backend::Agent;

const WITH_INITIALIZE: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

fn meta_2026() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "stateless", "version": "9" },
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

#[tokio::test]
async fn each_version_with_initialize_is_agreed_to_and_an_unknown_one_gets_the_newest() {
    for version in WITH_INITIALIZE {
        let result = Agent::start().greet(version).await;
        assert_eq!(result["protocolVersion"], version);
        assert_eq!(result["serverInfo"]["name"], "memoria");
        assert_eq!(result["serverInfo"]["version"], env!("CARGO_PKG_VERSION"));
        assert!(result["instructions"].as_str().unwrap().contains("never instructions"));
    }
    assert_eq!(Agent::start().greet("1999-01-01").await["protocolVersion"], "2025-11-25");
    assert_eq!(Agent::start().greet("2026-07-28").await["protocolVersion"], "2025-11-25");
}

#[tokio::test]
async fn the_agent_is_known_from_initialize_and_from_a_requests_metadata() {
    let agent = Agent::start();
    agent.greet("2025-06-18").await;
    assert_eq!(*agent.backend.0.agents.lock().unwrap(), [("tester".to_owned(), "1.2".to_owned())]);

    let agent = Agent::start();
    for id in 0..3 {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/list", "params": { "_meta": meta_2026() }});
        assert!(agent.ask(message).await["result"]["tools"].is_array());
    }
    assert_eq!(*agent.backend.0.agents.lock().unwrap(), [("stateless".to_owned(), "9".to_owned())]);
}

#[tokio::test]
async fn the_stateless_version_needs_no_initialize() {
    let agent = Agent::start();
    let discovered = agent
        .ask(json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": { "_meta": meta_2026() }}))
        .await;
    let versions = discovered["result"]["supportedVersions"].as_array().expect("versions");
    assert!(versions.contains(&json!("2026-07-28")));
    let called = agent
        .ask(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
            "name": "memory_store", "arguments": { "content": "x" }, "_meta": meta_2026() }}))
        .await;
    assert_eq!(called["result"]["resultType"], "complete");
    assert_eq!(called["result"]["isError"], false);
    let listed =
        agent.ask(json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": { "_meta": meta_2026() }})).await;
    let caching = ["resultType", "ttlMs", "cacheScope"].map(|field| &listed["result"][field]);
    assert_eq!(caching, [&json!("complete"), &json!(0), &json!("private")]);
    let pinged =
        agent.ask(json!({"jsonrpc": "2.0", "id": 3, "method": "ping", "params": { "_meta": meta_2026() }})).await;
    assert_eq!(pinged["error"]["code"], -32601, "this version has no ping");
    let incomplete = agent
        .ask(json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {
            "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28" } }}))
        .await;
    assert_eq!(incomplete["error"]["code"], -32602);
    let unknown = agent
        .ask(json!({"jsonrpc": "2.0", "id": 4, "method": "tools/list", "params": {
            "_meta": { "io.modelcontextprotocol/protocolVersion": "2099-01-01",
                       "io.modelcontextprotocol/clientCapabilities": {} } }}))
        .await;
    assert_eq!(unknown["error"]["code"], -32022);
    assert_eq!(unknown["error"]["data"]["requested"], "2099-01-01");
    assert_eq!(unknown["error"]["data"]["supported"][0], "2024-11-05", "{unknown}");
}

#[tokio::test]
async fn greetings_lists_and_pings_never_reach_the_backend() {
    let agent = Agent::start();
    agent.greet("2025-11-25").await;
    for method in ["ping", "tools/list", "resources/templates/list", "prompts/list"] {
        agent.ask(json!({"jsonrpc": "2.0", "id": 1, "method": method})).await;
    }
    assert!(agent.backend.0.asked.lock().unwrap().is_empty());
    assert_eq!(agent.ask(json!({"jsonrpc": "2.0", "id": 2, "method": "ping"})).await["result"], json!({}));
}

#[tokio::test]
async fn older_versions_are_spared_what_they_do_not_know() {
    for (version, annotations, schemas) in [
        ("2024-11-05", false, false),
        ("2025-03-26", true, false),
        ("2025-06-18", true, true),
        ("2025-11-25", true, true),
    ] {
        let agent = Agent::start();
        agent.greet(version).await;
        let listed = agent.ask(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await;
        for tool in listed["result"]["tools"].as_array().unwrap() {
            assert_eq!(tool["annotations"].is_object(), annotations, "{version}");
            assert_eq!(tool["outputSchema"].is_object(), schemas, "{version}");
        }
        let stored = agent.call("memory_store", json!({"content": "x"})).await;
        assert_eq!(stored["structuredContent"].is_object(), schemas, "{version}");
        assert!(stored.get("resultType").is_none());
    }
}

#[tokio::test]
async fn initialize_is_kept_for_replay_and_a_replayed_one_restores_the_session() {
    let agent = Agent::start();
    let initialize = json!({"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {
        "protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": { "name": "a", "version": "1" } }});
    assert_eq!(agent.send(initialize.to_string()).await.keep, Keep::ForReplay);
    let initialized = agent.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    assert_eq!((initialized.line, initialized.keep), (None, Keep::ForReplay));

    // A new daemon: the kept lines and what was in flight, all at once, in order.
    let fresh = Agent::start();
    let replayed = fresh.send(initialize.to_string());
    let call = fresh.send(
        json!({"jsonrpc": "2.0", "id": 8, "method": "tools/call", "params": {
            "name": "memory_store", "arguments": { "content": "x" } }})
        .to_string(),
    );
    assert_eq!(fresh.backend.0.agents.lock().unwrap().len(), 1, "known before anything is polled");
    assert!(call.await.line.is_some());
    assert!(replayed.await.line.is_some());
    let listed = fresh.ask(json!({"jsonrpc": "2.0", "id": 9, "method": "tools/list"})).await;
    assert!(listed["result"]["tools"][0].get("annotations").is_none(), "2024-11-05 is in force again");
}

#[tokio::test]
async fn a_refused_initialize_is_not_kept() {
    let agent = Agent::start();
    let answer = agent.send(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#).await;
    assert_eq!(answer.keep, Keep::Forget);
    let line: Value = serde_json::from_slice(&answer.line.unwrap()).unwrap();
    assert_eq!(line["error"]["code"], -32602);
    assert!(line["error"]["message"].as_str().unwrap().contains("protocolVersion"), "{line}");
}

#[tokio::test]
async fn malformed_lines_get_the_code_and_the_id_they_deserve() {
    let agent = Agent::start();
    let deep = "[".repeat(100_000);
    let cases: &[(&[u8], i64, Value)] = &[
        (b"{", -32700, Value::Null),
        (b"nonsense", -32700, Value::Null),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"} {}", -32700, Value::Null),
        (b"\xff\xfe", -32700, Value::Null),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\xc3\"}", -32700, Value::Null),
        (deep.as_bytes(), -32700, Value::Null),
        (b"1", -32600, Value::Null),
        (b"[]", -32600, Value::Null),
        (b"{}", -32600, Value::Null),
        (b"{\"id\":1,\"method\":\"ping\"}", -32600, json!(1)),
        (b"{\"jsonrpc\":\"1.0\",\"id\":\"a\",\"method\":\"ping\"}", -32600, json!("a")),
        (b"{\"jsonrpc\":\"2.0\",\"id\":2}", -32600, json!(2)),
        (b"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":4}", -32600, json!(3)),
        (b"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}", -32600, Value::Null),
        (b"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"ping\"}", -32600, Value::Null),
        (b"{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"tools/list\",\"params\":[1]}", -32602, json!(4)),
        (b"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"tools/call\",\"params\":{}}", -32602, json!(5)),
        (b"{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"tools/call\",\"params\":{\"name\":1}}", -32602, json!(6)),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"memory_list\",\"arguments\":[]}}",
            -32602,
            json!(7),
        ),
        (b"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"tools/call\",\"params\":{\"name\":\"other\"}}", -32602, json!(8)),
        (b"{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/list\",\"params\":{\"cursor\":\"x\"}}", -32602, json!(9)),
        (b"{\"jsonrpc\":\"2.0\",\"id\":9.5,\"method\":\"no/such\"}", -32601, json!(9.5)),
        (b"{\"jsonrpc\":\"2.0\",\"id\":10,\"method\":\"ping\",\"params\":{\"_meta\":1}}", -32602, json!(10)),
        (b"{\"jsonrpc\":\"2.0\",\"id\":11,\"method\":\"subscriptions/listen\"}", -32601, json!(11)),
    ];
    for (line, code, id) in cases {
        let shown = String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned();
        let answer = agent.send(line.to_vec()).await;
        let answer: Value = serde_json::from_slice(&answer.line.unwrap_or_default()).expect("an answer");
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), id), "{shown} -> {answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| message.len() > 6), "{answer}");
    }
    assert_eq!(agent.ask(json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})).await["result"], json!({}));
}

#[tokio::test]
async fn what_wants_no_answer_gets_none() {
    let agent = Agent::start();
    for line in [
        "",
        "  ",
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#,
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"memory_store","arguments":{"content":"x"}}}"#,
        r#"{"jsonrpc":"2.0","id":5,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":5,"error":{"code":1,"message":"x"}}"#,
    ] {
        assert_eq!(agent.send(line).await.line, None, "{line}");
    }
    assert!(agent.backend.0.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn any_id_comes_back_as_it_was_and_a_second_in_flight_is_refused() {
    let agent = Agent::start();
    for id in [json!(0), json!(-1), json!("ü"), json!(""), json!(u64::MAX), json!(1e300)] {
        let answer = agent.ask(json!({"jsonrpc": "2.0", "id": id, "method": "ping"})).await;
        assert_eq!(answer["id"], id);
    }
    let store = |content: &str| {
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "memory_store", "arguments": { "content": content } }})
    };
    let first = tokio::spawn(agent.send(store("wait").to_string()));
    assert_eq!(agent.ask(store("second")).await["error"]["code"], -32600);
    agent.backend.0.gate.notify_one();
    assert!(first.await.unwrap().line.is_some());
    assert_eq!(agent.ask(store("third")).await["result"]["isError"], false);
}

#[tokio::test]
async fn calls_run_side_by_side_and_answer_in_any_order() {
    let agent = Agent::start();
    let waiting: Vec<_> = (0..50)
        .map(|id| {
            let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
                "name": "memory_store", "arguments": { "content": format!("wait {id}") } }});
            tokio::spawn(agent.send(message.to_string()))
        })
        .collect();
    while agent.backend.0.running.load(Ordering::SeqCst) < 50 {
        tokio::task::yield_now().await;
    }
    let quick = agent.call("memory_list", json!({})).await;
    assert_eq!(quick["isError"], false);
    agent.backend.0.gate.notify_waiters();
    for (id, waiting) in waiting.into_iter().enumerate() {
        let line: Value = serde_json::from_slice(&waiting.await.unwrap().line.unwrap()).unwrap();
        assert_eq!((&line["id"], &line["result"]["isError"]), (&json!(id), &json!(false)));
    }
}

#[tokio::test]
async fn a_cancelled_call_is_dropped_and_not_answered() {
    let agent = Agent::start();
    let message = json!({"jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": {
        "name": "memory_store", "arguments": { "content": "wait" } }});
    let waiting = tokio::spawn(agent.send(message.to_string()));
    while agent.backend.0.running.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": "c", "reason": "x" }});
    assert_eq!(agent.send(cancelled.to_string()).await.line, None);
    assert_eq!(waiting.await.unwrap().line, None);
    while agent.backend.0.dropped.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(agent.backend.0.memories.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_id_of_a_cancelled_call_is_free_and_the_next_call_keeps_it() {
    let agent = Agent::start();
    let store = |content: &str| {
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "memory_store", "arguments": { "content": content } }})
        .to_string()
    };
    let cancelled = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let first = agent.send(store("wait"));
    agent.send(cancelled).await;
    let second = agent.send(store("wait"));
    drop(first);
    assert_eq!(agent.ask(serde_json::from_str(&store("third")).unwrap()).await["error"]["code"], -32600);
    agent.send(cancelled).await;
    assert_eq!(second.await.line, None);
    assert_eq!(agent.ask(serde_json::from_str(&store("fourth")).unwrap()).await["result"]["isError"], false);
}

#[tokio::test]
async fn a_line_that_nobody_waits_for_is_cancelled_and_so_is_all_when_the_session_ends() {
    let agent = Agent::start();
    let message = |id: u32| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": "memory_store", "arguments": { "content": "wait" } }})
        .to_string()
    };
    let waiting = tokio::spawn(agent.send(message(1)));
    let other = tokio::spawn(agent.send(message(2)));
    while agent.backend.0.running.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    while agent.backend.0.dropped.load(Ordering::SeqCst) < 1 {
        tokio::task::yield_now().await;
    }
    let backend = agent.backend.clone();
    drop(agent);
    let line: Value = serde_json::from_slice(&other.await.unwrap().line.unwrap()).unwrap();
    assert_eq!(line["id"], 2);
    while backend.0.dropped.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_panic_in_the_backend_is_one_calls_error() {
    let agent = Agent::start();
    let failed = agent.call("memory_store", json!({"content": "panic"})).await;
    assert_eq!(failed["isError"], true);
    assert_eq!(agent.call("memory_store", json!({"content": "fine"})).await["isError"], false);
}

#[tokio::test]
async fn the_backends_error_is_a_result_that_the_model_can_read() {
    let failed = Agent::start().call("memory_store", json!({"content": "full"})).await;
    assert_eq!(failed["isError"], true);
    assert_eq!(failed["content"][0]["text"], "The disk is full. Make room.");
}

#[tokio::test]
async fn a_batch_is_answered_as_a_batch_and_its_calls_are_operations_of_their_own() {
    let agent = Agent::start();
    let store = |id: u32| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": "memory_store", "arguments": { "content": format!("{id}") } }})
    };
    let batch = json!([
        store(1), store(2), {"jsonrpc": "2.0", "method": "notifications/initialized"}, {"foo": 1},
        {"jsonrpc": "2.0", "id": 3, "method": "initialize", "params": {}},
    ]);
    let answers = agent.ask(batch).await;
    let codes: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["error"]["code"].as_i64()).collect();
    assert_eq!(codes, [None, None, Some(-32600), Some(-32600)]);
    let asked = agent.backend.0.asked.lock().unwrap().clone();
    assert_ne!(asked[0].0, asked[1].0);
    assert!(asked.iter().all(|(_, request)| matches!(request, Request::Store(_))));
    let silent = agent.send(r#"[{"jsonrpc":"2.0","method":"notifications/initialized"}]"#).await;
    assert_eq!(silent.line, None);
    let many = vec![json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}); 65];
    assert_eq!(agent.ask(json!(many)).await["error"]["code"], -32600);
}

#[tokio::test]
async fn the_calls_of_a_batch_run_side_by_side_and_one_can_be_cancelled() {
    let agent = Agent::start();
    let store = |id: u32| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": "memory_store", "arguments": { "content": "wait" } }})
    };
    let waiting = tokio::spawn(agent.send(json!([store(1), store(2), store(3)]).to_string()));
    while agent.backend.0.running.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    agent.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#).await;
    while agent.backend.0.dropped.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    agent.backend.0.gate.notify_waiters();
    let answers: Value = serde_json::from_slice(&waiting.await.unwrap().line.unwrap()).unwrap();
    let ids: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [1, 3]);
}
