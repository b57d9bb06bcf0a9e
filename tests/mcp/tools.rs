//! Names, parameters and replies of the tools.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use memoria::model::{Kind, Trust};
use memoria::wire::message::{Depth, Place, PurgeTarget, Request, SessionScope, Target};
use serde_json::{Value, json};

use crate::backend::{Agent, Fake};

/// Every tool, whatever is shown of them by default.
async fn listed(agent: &Agent) -> Vec<Value> {
    agent.backend.0.shows_all.store(true, Ordering::SeqCst);
    shown(agent).await
}

async fn shown(agent: &Agent) -> Vec<Value> {
    let mut answer = agent.ask(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await;
    serde_json::from_value(answer["result"]["tools"].take()).unwrap()
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().expect("a text")
}

fn last(backend: &Fake) -> Request {
    backend.0.asked.lock().unwrap().last().expect("a request").1.clone()
}

/// The required arguments of a tool, and what else makes a call complete.
fn complete(tool: &str) -> Value {
    match tool {
        "memory_store" => json!({"content": "x"}),
        "memory_retrieve" => json!({"query": "x"}),
        "memory_correct" => json!({"query": "x", "new_content": "y"}),
        "memory_purge" => json!({"topic": "x"}),
        "memory_snapshot" | "memory_branch" | "memory_checkout" | "memory_rollback" | "memory_branch_delete" => {
            json!({"name": "x1"})
        }
        "memory_diff" | "memory_merge" | "memory_apply" => json!({"source": "x1"}),
        "memory_pick" => json!({"source": "x1", "ids": ["abcdef01"]}),
        "memory_snapshot_delete" => json!({"prefix": "x1"}),
        "memory_blame" => json!({"memory_id": "abcdef01"}),
        "memory_feedback" => json!({"memory_id": "abcdef01", "signal": "useful"}),
        "memory_revert" => json!({"commit": "abcdef01"}),
        _ => json!({}),
    }
}

const CORE: [&str; 12] = [
    "memory_store",
    "memory_retrieve",
    "memory_list",
    "memory_correct",
    "memory_purge",
    "memory_feedback",
    "memory_snapshot",
    "memory_branch",
    "memory_checkout",
    "memory_diff",
    "memory_merge",
    "memory_rollback",
];
const MORE: [&str; 13] = [
    "memory_profile",
    "memory_snapshots",
    "memory_snapshot_delete",
    "memory_branches",
    "memory_branch_delete",
    "memory_pick",
    "memory_apply",
    "memory_log",
    "memory_blame",
    "memory_undo",
    "memory_redo",
    "memory_revert",
    "memory_resolve",
];
const READS: [&str; 8] = [
    "memory_profile",
    "memory_retrieve",
    "memory_list",
    "memory_diff",
    "memory_snapshots",
    "memory_branches",
    "memory_log",
    "memory_blame",
];

fn names(tools: &[Value]) -> Vec<&str> {
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_profile_says_which_tools_are_listed_and_every_tool_answers() {
    let agent = Agent::start();
    assert_eq!(names(&shown(&agent).await), CORE);
    for tool in MORE {
        assert_eq!(agent.call(tool, complete(tool)).await["isError"], false, "{tool}");
    }
    assert_eq!(names(&listed(&agent).await), [&CORE[..], &MORE[..]].concat());
    let unknown = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "memory_observe"}});
    let unknown = agent.ask(unknown).await;
    assert_eq!(unknown["error"]["code"], -32602);
    let sentence = unknown["error"]["message"].as_str().unwrap();
    assert!(sentence.contains(&[&CORE[..], &MORE[..]].concat().join(", ")), "{sentence}");
}

#[tokio::test]
async fn tools_are_listed_with_hints_and_schemas() {
    for tool in listed(&Agent::start()).await {
        let hints = &tool["annotations"];
        assert_eq!(hints["openWorldHint"], false);
        let is_read = READS.contains(&tool["name"].as_str().unwrap());
        assert_eq!(hints["readOnlyHint"], is_read, "{tool}");
        assert!(!is_read || hints["destructiveHint"] == false, "{tool}");
        assert!(hints["destructiveHint"].is_boolean() && hints["idempotentHint"].is_boolean());
        assert_eq!(tool["inputSchema"]["type"], "object");
        assert_eq!(tool["outputSchema"]["type"], "object");
        assert!(tool["outputSchema"]["properties"].is_object(), "{tool}");
        assert!(tool.get("profile").is_none(), "{tool}");
    }
}

#[tokio::test]
async fn every_memory_tool_takes_a_branch_and_every_read_a_moment() {
    for tool in listed(&Agent::start()).await {
        let name = tool["name"].as_str().unwrap();
        let takes = |parameter: &str| tool["inputSchema"]["properties"][parameter].is_object();
        let is_about_a_name =
            ["memory_branch", "memory_checkout", "memory_branches", "memory_branch_delete", "memory_snapshot_delete"];
        // What is said of a memory is said on every branch.
        let is_about_all = is_about_a_name.contains(&name) || name == "memory_feedback";
        assert!(takes("branch") || takes("target") || is_about_all, "{name}");
        let reads_a_state =
            ["memory_retrieve", "memory_list", "memory_profile", "memory_log", "memory_blame", "memory_snapshot"];
        assert_eq!(takes("at"), reads_a_state.contains(&name), "{name}");
    }
}

#[tokio::test]
async fn every_property_of_a_schema_is_read_and_nothing_else_is() {
    let agent = Agent::start();
    for tool in listed(&agent).await {
        let name = tool["name"].as_str().unwrap();
        let properties = tool["inputSchema"]["properties"].as_object().unwrap();
        for (property, schema) in properties {
            let wrong = if schema["type"] == "object" { json!(1) } else { json!({"a": 1}) };
            let mut arguments = complete(name);
            arguments[property] = wrong;
            let result = agent.call(name, arguments).await;
            assert_eq!(result["isError"], true, "{name} does not read {property}");
            assert!(text(&result).contains(&format!("`{property}`")), "{name}.{property}: {}", text(&result));
        }
        let mut arguments = complete(name);
        arguments["surprise"] = json!(1);
        let result = agent.call(name, arguments).await;
        assert_eq!(result["isError"], true);
        let sentence = text(&result);
        assert!(sentence.contains("`surprise`"), "{sentence}");
        let known: BTreeSet<_> =
            sentence.split_once("It takes ").unwrap().1.trim_end_matches('.').split(", ").map(str::to_owned).collect();
        assert_eq!(known, properties.keys().cloned().collect::<BTreeSet<_>>(), "{name}");
        assert_eq!(agent.call(name, complete(name)).await["isError"], false, "{name}");
    }
}

#[tokio::test]
async fn wrong_values_are_answered_with_what_is_allowed() {
    let agent = Agent::start();
    for (tool, arguments, sentence) in [
        ("memory_store", json!({}), "needs `content`"),
        ("memory_store", json!({"content": "  "}), "needs `content`"),
        ("memory_store", json!({"content": "x", "memory_type": "fact"}), "semantic, profile, procedural"),
        ("memory_store", json!({"content": "x", "trust_tier": "T9"}), "T1, T2, T3, T4"),
        ("memory_store", json!({"content": "x", "project": "*"}), "\"global\""),
        ("memory_store", json!({"content": "x", "branch": "My Branch"}), "`branch`: `My Branch` cannot be a name"),
        ("memory_store", json!({"content": "x", "tags": ["a", 1]}), "a list of texts, not a number"),
        ("memory_store", json!({"content": "x", "session_id": "a\u{0}b"}), "`session_id`"),
        ("memory_store", json!({"content": "x", "subject_id": "x".repeat(200)}), "128 bytes"),
        ("memory_retrieve", json!({"query": "x", "top_k": 0}), "a whole number, 1 or more"),
        ("memory_retrieve", json!({"query": "x", "top_k": 2.5}), "a whole number"),
        ("memory_retrieve", json!({"query": "x", "top_k": "many"}), "a whole number"),
        ("memory_retrieve", json!({"query": "x", "session_scope": "only"}), "`session_id`"),
        ("memory_retrieve", json!({"query": "x", "session_id": "s", "session_scope": "x"}), "\"only\""),
        ("memory_retrieve", json!({"query": "x", "memory_types": ["semantic", "x"]}), "`x` is not a kind"),
        ("memory_list", json!({"limit": -1}), "a whole number, 0 or more"),
        ("memory_correct", json!({"new_content": "x"}), "either `memory_id` or `query`"),
        ("memory_correct", json!({"memory_id": "a", "query": "b", "new_content": "x"}), "either"),
        ("memory_correct", json!({"memory_id": "a", "new_content": "x", "session_id": "s"}), "narrow"),
        ("memory_purge", json!({}), "exactly one"),
        ("memory_purge", json!({"memory_id": " , "}), "exactly one"),
        ("memory_purge", json!({"memory_id": "a", "topic": "b"}), "exactly one"),
        ("memory_purge", json!({"topic": "b", "memory_types": ["working"]}), "`memory_types` narrows"),
    ] {
        let result = agent.call(tool, arguments.clone()).await;
        assert_eq!(result["isError"], true, "{tool} {arguments}");
        assert!(text(&result).contains(sentence), "{tool} {arguments}: {}", text(&result));
        assert!(result.get("structuredContent").is_none());
    }
    assert!(agent.backend.0.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn arguments_become_the_request_that_they_say() {
    let agent = Agent::start();
    agent
        .call(
            "memory_store",
            json!({"content": "x", "memory_type": "procedural", "tags": ["b", "a"], "project": "global",
                   "trust_tier": "T1", "session_id": "s", "subject_id": "u", "extra_metadata": {"k": [1, "v"]},
                   "branch": "try/one"}),
        )
        .await;
    let Request::Store(store) = last(&agent.backend) else { panic!("not a store") };
    assert_eq!(store.branch.unwrap().as_str(), "try/one");
    assert_eq!((store.kind, store.trust, store.place), (Some(Kind::Procedural), Some(Trust::T1), Place::Global));
    assert_eq!((store.tags, store.metadata.as_str()), (vec!["b".to_owned(), "a".to_owned()], r#"{"k":[1,"v"]}"#));
    assert_eq!((store.session.unwrap().as_str(), store.subject.unwrap().as_str()), ("s", "u"));

    agent
        .call(
            "memory_retrieve",
            json!({"query": "q", "top_k": "7", "max_tokens": 300.0, "session_id": "s", "session_scope": "only",
                   "project": "*", "memory_types": "working", "tags": "t", "explain": "verbose", "subject_id": null,
                   "at": "yesterday"}),
        )
        .await;
    let Request::Retrieve(retrieve) = last(&agent.backend) else { panic!("not a retrieve") };
    assert_eq!((retrieve.view.branch, retrieve.view.at.as_deref()), (None, Some("yesterday")));
    assert_eq!((retrieve.top_k, retrieve.max_tokens, retrieve.explain), (7, 300, true));
    assert_eq!((retrieve.place, retrieve.session_scope), (Place::Everywhere, SessionScope::Only));
    assert_eq!((retrieve.filter.kinds, retrieve.filter.tags), (vec![Kind::Working], vec!["t".to_owned()]));

    agent.call("memory_list", json!({})).await;
    let Request::List(list) = last(&agent.backend) else { panic!("not a list") };
    assert_eq!((list.page.limit, list.page.offset, list.place), (20, 0, Place::Here));

    agent
        .call(
            "memory_correct",
            json!({"memory_id": "abcdef01", "new_content": "n", "reason": "r",
                                          "trust_tier": "T2", "branch": "b"}),
        )
        .await;
    let Request::Correct(correct) = last(&agent.backend) else { panic!("not a correct") };
    assert_eq!(correct.target, Target::Id("abcdef01".to_owned()));
    assert_eq!((correct.text.as_str(), correct.reason.as_deref()), ("n", Some("r")));
    assert_eq!((correct.trust, correct.branch.unwrap().as_str()), (Some(Trust::T2), "b"));

    agent.call("memory_purge", json!({"memory_id": "a, b,,c"})).await;
    let Request::Purge(purge) = last(&agent.backend) else { panic!("not a purge") };
    assert_eq!(purge.target, PurgeTarget::Ids(["a", "b", "c"].map(str::to_owned).to_vec()));
    assert_eq!(purge.depth, Depth::State);
    agent.call("memory_purge", json!({"memory_id": ["a"], "erase": true})).await;
    let Request::Purge(purge) = last(&agent.backend) else { panic!("not a purge") };
    assert_eq!(purge.depth, Depth::Bytes);
    agent.call("memory_purge", json!({"session_id": "s", "memory_types": ["working"]})).await;
    let Request::Purge(purge) = last(&agent.backend) else { panic!("not a purge") };
    assert!(matches!(purge.target, PurgeTarget::Session { kinds, .. } if kinds == [Kind::Working]));
}

#[tokio::test]
async fn nothing_is_left_out_silently() {
    let agent = Agent::start();
    for n in 0..5 {
        agent.call("memory_store", json!({"content": format!("note {n}")})).await;
    }
    let found = agent.call("memory_retrieve", json!({"query": "note"})).await;
    assert!(text(&found).contains("2 more left out: raise top_k or max_tokens"), "{}", text(&found));
    assert_eq!(found["structuredContent"]["left_out"], 2);
    let page = agent.call("memory_list", json!({"limit": 2, "offset": 1})).await;
    assert!(text(&page).contains("2 memories of 5") && text(&page).contains("2 more: ask with offset 3"));
    let beyond = agent.call("memory_list", json!({"offset": 9})).await;
    assert_eq!(text(&beyond), "Nothing from offset 9 on: there are 5.");
    let purged = agent.call("memory_purge", json!({"memory_id": "12345678,abc\u{202e}"})).await;
    assert!(text(&purged).contains("Not found: 12345678, abc\\u{202e}."), "{}", text(&purged));
    assert_eq!(text(&Agent::start().call("memory_list", json!({})).await), "No memories found.");
}

#[tokio::test]
async fn a_reply_fits_the_wire_whatever_the_memories_hold() {
    let agent = Agent::start();
    for filler in ["\u{1}", "\"", "x"] {
        let text = filler.repeat((64 << 10) / filler.len());
        *agent.backend.0.memories.lock().unwrap() = vec![crate::backend::memory(&text); 80];
        let mut offset = 0;
        while offset < 80 {
            let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
                "name": "memory_list", "arguments": { "limit": 200, "offset": offset } }});
            let line = agent.send(message.to_string()).await.line.unwrap();
            assert!(line.len() <= memoria::wire::limits::REPLY_BYTES_MAX, "{filler:?}: {} bytes", line.len());
            let answer: Value = serde_json::from_slice(&line).unwrap();
            let content = &answer["result"]["structuredContent"];
            let shown = content["memories"].as_array().unwrap().len();
            assert!(shown > 0);
            offset += shown;
            let says_how = text_of(&answer).ends_with(&format!("ask with offset {offset}."));
            assert_eq!(says_how, offset < 80, "{filler:?}");
        }
    }
}

fn text_of(answer: &Value) -> &str {
    text(&answer["result"])
}
