//! JSON and JSONC: random trees with comments in any place, files as clients write them, and torn ones.

use memoria::agents::{Dialect, Edit, Past};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Judge, damaged, dressed, rounds, spanner, words};

fn server() -> Value {
    json!({"command": "/opt/memoria", "args": ["mcp"], "env": {}})
}

fn json_edits() -> impl Strategy<Value = Edit> {
    let paths = [&["mcpServers", "memoria"][..], &["a", "memoria"], &["mcp", "servers", "memoria"], &["memoria"]];
    (proptest::sample::select(paths.to_vec()), any::<bool>()).prop_map(|(path, is_item)| {
        let dialect = Dialect::Comments;
        let item =
            json!({"matcher": "", "hooks": [{"type": "command", "command": "/x/memoria hook prompt --agent a"}]});
        match is_item {
            true => Edit::JsonItem { path: words(&[path, &["hooks"]].concat()), value: item, dialect },
            false => Edit::Json { path: words(path), value: server(), dialect },
        }
    })
}

/// White space and comments; what ends in a line comment also ends its line.
fn gap() -> impl Strategy<Value = String> {
    proptest::sample::select(vec![
        "",
        " ",
        "\n",
        "\n  ",
        "\n\t",
        " // it's {\n",
        "/* , \" */",
        "\n    // x\n    ",
        "  \n\n",
        " /* a\n b */ ",
    ])
    .prop_map(str::to_owned)
}

fn key() -> impl Strategy<Value = String> {
    let names = ["a", "b", "mcp", "mcpServers", "servers", "memoria", "command", "x\\\"y", "日", "//", "hooks"];
    proptest::sample::select(names.to_vec()).prop_map(str::to_owned)
}

fn jsonc() -> impl Strategy<Value = String> {
    let scalar =
        proptest::sample::select(vec!["1", "-2.5e3", "true", "null", r#""t""#, r#""é \" // {""#, r#""\u00e9""#]);
    let value = scalar.prop_map(str::to_owned).prop_recursive(4, 40, 5, |inner| {
        let member = (gap(), key(), gap(), inner.clone(), gap());
        let object =
            (proptest::collection::vec(member, 0..5), any::<bool>(), gap()).prop_map(|(members, comma, end)| {
                let mut seen = std::collections::BTreeSet::new();
                let mut parts = Vec::new();
                for (a, key, b, value, c) in members {
                    if seen.insert(key.clone()) {
                        parts.push(format!("{a}\"{key}\"{b}:{b}{value}{c}"));
                    }
                }
                let comma = if comma && !parts.is_empty() { "," } else { "" };
                format!("{{{}{comma}{end}}}", parts.join(","))
            });
        let array = (proptest::collection::vec((gap(), inner, gap()), 0..4), any::<bool>(), gap());
        let array = array.prop_map(|(items, comma, end)| {
            let items: Vec<_> = items.into_iter().map(|(a, value, b)| format!("{a}{value}{b}")).collect();
            format!("[{}{}{end}]", items.join(","), if comma && !items.is_empty() { "," } else { "" })
        });
        prop_oneof![object, array]
    });
    (gap(), value, gap()).prop_map(|(a, value, b)| format!("{a}{value}{b}"))
}

/// Files as clients write them.
fn tidy_json() -> impl Strategy<Value = String> {
    jsonc().prop_map(|text| {
        let value = read_json(&text);
        let text = serde_json::to_string_pretty(&value).unwrap_or_default();
        if text.len().is_multiple_of(2) { value.to_string() } else { text + "\n" }
    })
}

/// As clients with comments read it.
const JUDGE: Judge<Value> = Judge {
    read: |text| Some(jsonc_parser::parse_to_serde_value(text, &Default::default()).ok()?.unwrap_or(Value::Null)),
    meant: meant_json,
};

fn read_json(text: &str) -> Value {
    JUDGE.parsed(text).unwrap()
}

fn meant_json(edit: &Edit, mut root: Value) -> Value {
    fn slot<'a>(root: &'a mut Value, path: &[String]) -> &'a mut Value {
        if root.is_null() {
            *root = Value::Object(Map::new());
        }
        path.iter().fold(root, |at, key| {
            let members = at.as_object_mut().unwrap();
            members.entry(key.clone()).or_insert(Value::Null)
        })
    }
    fn merge(at: &mut Value, ours: &Value) {
        match (at, ours) {
            (Value::Object(at), Value::Object(ours)) => {
                ours.iter().for_each(|(key, value)| merge(at.entry(key.clone()).or_insert(Value::Null), value));
            }
            (at, ours) => *at = ours.clone(),
        }
    }
    fn objects(root: &mut Value, path: &[String]) {
        for depth in 1..path.len() {
            let at = slot(root, &path[..depth]);
            if at.is_null() {
                *at = Value::Object(Map::new());
            }
        }
    }
    match edit {
        Edit::Json { path, value, .. } => {
            objects(&mut root, path);
            merge(slot(&mut root, path), value);
        }
        Edit::JsonItem { path, value, .. } => {
            objects(&mut root, path);
            let at = slot(&mut root, path);
            if at.is_null() {
                *at = json!([]);
            }
            let items = at.as_array_mut().unwrap();
            if !items.contains(value) {
                items.push(value.clone());
            }
        }
        _ => unreachable!("no edit of JSON"),
    }
    root
}

/// Whether nothing but objects (and an array at the end) stands on the way.
fn fits_json(edit: &Edit, root: &Value) -> bool {
    let (path, is_item) = match edit {
        Edit::Json { path, .. } => (path, false),
        Edit::JsonItem { path, .. } => (path, true),
        _ => return false,
    };
    let mut at = root;
    for key in path {
        let Some(inner) = at.as_object() else { return false };
        match inner.get(key) {
            Some(next) => at = next,
            None => return true,
        }
    }
    !is_item || at.is_array()
}

proptest! {
    #![proptest_config(rounds())]

    #[test]
    fn json_is_edited_and_taken_back(edit in json_edits(), before in dressed(prop_oneof![jsonc(), tidy_json()])) {
        let root = read_json(&before);
        if fits_json(&edit, &root) {
            JUDGE.keeps_the_laws(&edit, &before)?;
        } else {
            let refusal = edit.apply(Some(&before)).unwrap_err();
            prop_assert!(refusal.message.starts_with("line "), "{}", refusal);
        }
    }

    #[test]
    fn what_is_added_to_json_later_survives_the_taking_back(edit in json_edits(), before in tidy_json()) {
        let root = read_json(&before);
        if !(root.is_object() && fits_json(&edit, &root)) {
            return Ok(());
        }
        let user = |text: &str| {
            let edit = Edit::Json { path: words(&["theirs", "x"]), value: json!([1]), dialect: Dialect::Comments };
            edit.apply(Some(text)).unwrap()
        };
        let after = user(&edit.apply(Some(&before)).unwrap());
        let back = edit.remove(&after, Past::Text(&before)).unwrap().unwrap_or_default();
        prop_assert_eq!(read_json(&back), read_json(&user(&before)), "{:?}", after);
    }

    #[test]
    fn a_client_that_writes_its_file_anew_loses_nothing(
        edit in json_edits(), before in jsonc(), is_wide in any::<bool>()
    ) {
        let root = read_json(&before);
        if !fits_json(&edit, &root) {
            return Ok(());
        }
        let anew = |text: &str| {
            let value = read_json(text);
            if is_wide { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() }
        };
        let after = anew(&edit.apply(Some(&before)).unwrap());
        prop_assert_eq!(edit.apply(Some(&after)).unwrap(), after.clone(), "nothing is to be done");
        let back = edit.remove(&after, Past::Text(&before)).unwrap().unwrap_or_default();
        prop_assert_eq!(read_json(&back), root, "{:?}", after);
    }

    #[test]
    fn a_line_beside_ours_stays_in_json(
        edit in json_edits(), before in prop_oneof![jsonc(), tidy_json()], at in 0..40usize, is_member in any::<bool>()
    ) {
        let line = if is_member { "\"user\": 1,\n" } else { "// of the user\n" };
        JUDGE.keeps_a_neighbour(&edit, &before, line, at)?;
    }

    #[test]
    fn broken_json_is_refused_or_edited_but_never_harmed(
        edit in json_edits(), text in jsonc(), at in 0..200usize, c in spanner()
    ) {
        JUDGE.is_never_harmed(&edit, &damaged(&text, at, c))?;
    }

    #[test]
    fn json_of_random_tokens_is_refused_or_edited_but_never_harmed(edit in json_edits(), text in tokens()) {
        JUDGE.is_never_harmed(&edit, &text)?;
    }
}

fn tokens() -> impl Strategy<Value = String> {
    let token = proptest::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\n",
        "\r\n",
        "\r",
        "\t",
        " ",
        "// c",
        "/* c */",
        "/*",
        "\"mcp\"",
        "\"mcpServers\":",
        "\"m\\u0065moria\":",
        "\"memoria\": {",
        "\"servers\": {",
        "\"hooks\": [",
        "\"a\": {},",
        "1",
        "null",
        "\"",
        "{}",
        "[]",
    ]);
    proptest::collection::vec(token, 0..16).prop_map(|tokens| tokens.concat())
}

#[test]
fn a_hook_of_ours_is_brought_up_to_date_where_it_stands_and_found_inside_of_others() {
    let hook = |program: &str| {
        let command = format!("{program} hook prompt --agent claude-code");
        json!({"matcher": "*", "hooks": [{"type": "command", "command": command}]})
    };
    let edit = |program| Edit::JsonItem { path: words(&["hooks", "P"]), value: hook(program), dialect: Dialect::Plain };
    let theirs = json!({"hooks": [{"type": "command", "command": "notify memoria hook"}]});
    let before = json!({"hooks": {"P": [theirs]}}).to_string();
    let old = edit("/old/memoria").apply(Some(&before)).unwrap();
    let new = edit("'/new place/memoria.exe'").apply(Some(&old)).unwrap();
    assert_eq!(read_json(&new)["hooks"]["P"], json!([theirs, hook("'/new place/memoria.exe'")]));
    assert_eq!(edit("/x/memoria").remove(&new, Past::Text(&before)).unwrap().as_deref(), Some(&*before));
    // Somebody has moved it into a group of their own.
    let (mut group, ours) = (theirs.clone(), hook("/old/memoria")["hooks"][0].clone());
    group["hooks"].as_array_mut().unwrap().push(ours);
    let moved = json!({"hooks": {"P": [group]}}).to_string();
    assert_eq!(edit("/old/memoria").apply(Some(&moved)).unwrap(), moved);
    let left = edit("/old/memoria").remove(&moved, Past::Text(&before)).unwrap().unwrap();
    assert_eq!(read_json(&left), read_json(&before));
}

#[test]
fn white_space_that_json_does_not_know_stays_in_its_comment_and_indents_nothing() {
    let path = vec!["mcpServers".to_owned(), "memoria".to_owned()];
    let edit = Edit::Json { path, value: server(), dialect: Dialect::Comments };
    for blank in ['\u{85}', '\u{c}', '\u{a0}'] {
        let after = edit.apply(Some(&format!("{{\n  // x{blank}\n}}\n"))).unwrap();
        assert!(after.contains(&format!("// x{blank}\n")), "{after:?}");
        assert_eq!(edit.apply(Some(&after)).unwrap(), after);
    }
    let after = edit.apply(Some("{\n /* a\n \u{b}b */\n}\n")).unwrap();
    assert_eq!(after.matches('\u{b}').count(), 1, "{after:?}");
}

#[test]
fn what_stood_at_our_place_before_comes_back() {
    let before = "{\"mcpServers\": {\"memoria\": {\"command\": \"mine\", \"env\": {\"A\": \"1\"}}}, \"z\": 1}";
    let edit = Edit::Json { path: words(&["mcpServers", "memoria"]), value: server(), dialect: Dialect::Plain };
    let after = edit.apply(Some(before)).unwrap();
    assert_eq!(read_json(&after)["mcpServers"]["memoria"]["env"], json!({"A": "1"}), "keys beside ours survive");
    assert_eq!(edit.remove(&after, Past::Text(before)).unwrap().as_deref(), Some(before));
    let since = after.replace("\"z\": 1", "\"z\": 2");
    let left = edit.remove(&since, Past::Text(before)).unwrap().unwrap();
    assert_eq!(left, before.replace("\"z\": 1", "\"z\": 2"));
}
