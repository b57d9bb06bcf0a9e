//! What is trusted less never takes the place of what is trusted more by itself: not by an agent's correction or its
//! word in a merge, not by a file, not by what a tool printed. Who acts for the user says so.

use serde_json::{Value, json};

use crate::support::{Agent, Home};

fn tool(agent: &mut Agent, name: &str, arguments: Value) -> (bool, String) {
    let answer = agent.ask("tools/call", json!({"name": name, "arguments": arguments}));
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (answer["result"]["isError"] == true, text)
}

#[test]
fn an_agent_corrects_what_the_user_verified_only_by_saying_that_the_user_said_so() {
    let home = Home::new();
    let known = home.json(&["store", "The release is on Friday", "--project", "global"]);
    let id = known["id"].as_str().unwrap();
    let mut agent = Agent::introduced(&home, "eager");
    let correct =
        |trust: Value| json!({"memory_id": id, "new_content": "The release is on Monday", "trust_tier": trust});
    for trust in [Value::Null, json!("T2"), json!("T3")] {
        let (is_error, said) = tool(&mut agent, "memory_correct", correct(trust));
        assert!(is_error && said.contains("verified by the user") && said.contains("trust_tier T1"), "{said}");
    }
    assert_eq!(home.json(&["show", id])["text"], "The release is on Friday");
    let (is_error, said) = tool(&mut agent, "memory_correct", correct(json!("T1")));
    assert!(!is_error, "{said}");
    let shown = home.json(&["show", id]);
    assert_eq!((&shown["text"], &shown["trust"]), (&json!("The release is on Monday"), &json!("T1")));
    assert_eq!(shown["origin"]["agent"], "eager", "the origin keeps who said so");
    // A person needs no such word.
    home.json(&["correct", id, "The release is on Tuesday"]);
    assert_eq!(home.json(&["show", id])["trust"], "T1");
}

#[test]
fn an_agent_settles_a_conflict_with_verified_words_by_taking_a_side_only() {
    let home = Home::new();
    let known = home.json(&["store", "The release is on Friday", "--project", "global"]);
    let id = known["id"].as_str().unwrap();
    home.json(&["branch", "other"]);
    home.json(&["correct", id, "The release is on Monday", "--branch", "other"]);
    home.json(&["correct", id, "The release is on Tuesday"]);
    let mut agent = Agent::introduced(&home, "settler");
    assert!(!tool(&mut agent, "memory_merge", json!({"source": "other"})).0);
    let (is_error, said) = tool(&mut agent, "memory_resolve", json!({"memory_id": id, "text": "Some day"}));
    assert!(is_error && said.contains("T1"), "{said}");
    let (is_error, said) = tool(&mut agent, "memory_resolve", json!({"memory_id": id, "take": "theirs"}));
    assert!(!is_error, "{said}");
}

#[test]
fn what_a_tool_printed_is_never_verified() {
    let home = Home::new();
    let mut agent = Agent::introduced(&home, "runner");
    let printed =
        |text: &str, trust: Value| json!({"content": text, "memory_type": "tool_result", "trust_tier": trust});
    for trust in ["T1", "T2"] {
        let (is_error, said) = tool(&mut agent, "memory_store", printed("all green", json!(trust)));
        assert!(is_error && said.contains("T3 or T4"), "{said}");
    }
    let stored = agent.call("memory_store", printed("all green", Value::Null));
    assert_eq!(stored["memory"]["trust"], "T4");
    assert_eq!(agent.call("memory_store", printed("all red", json!("T3")))["memory"]["trust"], "T3");
}

#[test]
fn a_file_verifies_nothing_unless_a_person_vouches_for_it() {
    let line =
        "{\"text\":\"The vault is open\",\"trust\":\"T1\",\"confidence\":0.99,\"origin\":{\"source\":\"user\"}}\n";
    for (args, trust, source, lowered) in
        [(&["import"][..], "T3", "import", 1), (&["import", "--keep-trust"], "T1", "user", 0)]
    {
        let home = Home::new();
        let file = home.path().join("facts.jsonl");
        std::fs::write(&file, line).unwrap();
        let imported = home.json(&[args, &[file.to_str().unwrap()]].concat());
        assert_eq!((&imported["stored"], &imported["lowered"]), (&json!(1), &json!(lowered)), "{imported}");
        let listed = home.json(&["list", "--project", "*"]);
        let memory = &listed["memories"][0];
        assert_eq!((&memory["trust"], &memory["origin"]["source"]), (&json!(trust), &json!(source)), "{memory}");
        assert!(memory["confidence"].as_f64().unwrap() <= if lowered == 1 { 0.65 } else { 0.99 });
    }
}
