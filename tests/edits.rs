//! Edits of other programs' files, on random documents: what was there survives byte for byte, twice is once, taking
//! back gives the file of before, and a real parser reads what was meant. `PROPTEST_CASES` asks for more rounds.

use memoria::agents::{Dialect, Edit, Past};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn words(path: &[&str]) -> Vec<String> {
    path.iter().map(|key| (*key).to_owned()).collect()
}

/// How a file may come: line ends, a mark at its start, no line end at its close.
fn dressed(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (text, any::<bool>(), any::<bool>(), 0..4u8).prop_map(|(text, has_crlf, has_bom, end)| {
        let text = if has_crlf { text.replace('\n', "\r\n") } else { text };
        let text = if end == 0 { text.trim_end().to_owned() } else { text };
        if has_bom { format!("\u{feff}{text}") } else { text }
    })
}

/// What holds for every edit of every document; `read` is a real parser.
fn check<T: PartialEq + std::fmt::Debug>(
    edit: &Edit,
    before: &str,
    read: impl Fn(&str) -> T,
    meant: impl Fn(T) -> T,
) -> Result<(), TestCaseError> {
    let after = edit.apply(Some(before)).map_err(|e| TestCaseError::fail(format!("{e}: {before:?}")))?;
    let again = edit.apply(Some(&after)).map_err(|e| TestCaseError::fail(format!("{e}: {after:?}")))?;
    prop_assert_eq!(&again, &after, "twice is not once");
    prop_assert_eq!(read(&after), meant(read(before)), "what was meant, in {:?}", after);
    let back = edit.remove(&after, Past::Text(before)).map_err(|e| TestCaseError::fail(format!("{e}: {after:?}")))?;
    prop_assert_eq!(back.as_deref(), Some(before), "taken back from {:?}", after);
    Ok(())
}

/// One character too few or too many.
fn damaged(text: &str, at: usize, c: char) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let at = at % (chars.len() + 1);
    if c.is_alphabetic() && at < chars.len() {
        chars.remove(at);
    } else {
        chars.insert(at, c);
    }
    chars.into_iter().collect()
}

/// Whatever is given: an answer or a refusal that names a line, and an answer can be taken back.
fn never_harms(edit: &Edit, before: &str) -> Result<(), TestCaseError> {
    match edit.apply(Some(before)) {
        Err(refusal) => prop_assert!(refusal.message.starts_with("line "), "{}", refusal),
        Ok(after) => {
            let back = edit.remove(&after, Past::Text(before)).ok().flatten();
            prop_assert_eq!(back.as_deref(), Some(before), "taken back from {:?}", after);
        }
    }
    Ok(())
}

// JSON and JSONC

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

fn read_json(text: &str) -> Value {
    let text = text.trim_start_matches('\u{feff}');
    jsonc_parser::parse_to_serde_value(text, &Default::default()).unwrap().unwrap_or(Value::Null)
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
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_is_edited_and_taken_back(edit in json_edits(), before in dressed(prop_oneof![jsonc(), tidy_json()])) {
        let root = read_json(&before);
        if fits_json(&edit, &root) {
            check(&edit, &before, read_json, |root| meant_json(&edit, root))?;
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
    fn broken_json_is_refused_or_edited_but_never_harmed(
        edit in json_edits(), text in jsonc(), at in 0..200usize, c in any::<char>()
    ) {
        never_harms(&edit, &damaged(&text, at, c))?;
    }

    #[test]
    fn toml_is_edited_and_taken_back(table in toml_tables(), before in dressed(toml_text())) {
        let text = "command = \"/opt/memoria\"\nargs = [\"mcp\"]\n".to_owned();
        let edit = Edit::Toml { table, text };
        match edit.apply(Some(&before)) {
            Ok(_) => check(&edit, &before, read_toml, |root| meant_toml(&edit, root))?,
            Err(refusal) => prop_assert!(refusal.message.starts_with("line "), "{}", refusal),
        }
    }

    #[test]
    fn broken_toml_is_refused_or_edited_but_never_harmed(text in toml_text(), at in 0..200usize, c in any::<char>()) {
        let edit = Edit::Toml { table: words(&["mcp", "memoria"]), text: "command = \"x\"\n".to_owned() };
        never_harms(&edit, &damaged(&text, at, c))?;
    }

    #[test]
    fn yaml_is_edited_and_taken_back(path in yaml_paths(), before in dressed(yaml_text())) {
        let text = "name: memoria\ntype: stdio\nargs:\n  - mcp\nenvs: {}\n".to_owned();
        let edit = Edit::Yaml { path, text };
        match edit.apply(Some(&before)) {
            Ok(_) => check(&edit, &before, read_yaml, |root| meant_yaml(&edit, root))?,
            Err(refusal) => prop_assert!(refusal.message.starts_with("line "), "{}", refusal),
        }
    }

    #[test]
    fn broken_yaml_is_refused_or_edited_but_never_harmed(text in yaml_text(), at in 0..200usize, c in any::<char>()) {
        let edit = Edit::Yaml { path: words(&["extensions", "memoria"]), text: "cmd: x\n".to_owned() };
        never_harms(&edit, &damaged(&text, at, c))?;
    }

    #[test]
    fn markdown_keeps_every_byte_and_gets_it_back(before in dressed(markdown()), more in markdown()) {
        let edit = Edit::Block { text: "## Memoria\n\nAsk it first.\n".to_owned() };
        let Ok(after) = edit.apply(Some(&before)) else { return Ok(()) };
        prop_assert!(after.starts_with(&before) && after.contains("Ask it first."));
        prop_assert_eq!(&edit.apply(Some(&after)).unwrap(), &after);
        let newer = Edit::Block { text: "Newer text.".to_owned() };
        let updated = newer.apply(Some(&after)).unwrap();
        prop_assert!(!updated.contains("Ask it first.") && updated.matches("memoria:begin (").count() == 1);
        for (edit, after) in [(&edit, &after), (&newer, &updated)] {
            let back = edit.remove(after, Past::Text(&before)).unwrap();
            prop_assert_eq!(back.as_deref(), Some(&*before));
            let added = format!("{after}{more}");
            if let Ok(left) = edit.remove(&added, Past::Text(&before)) {
                prop_assert_eq!(left.as_deref(), Some(&*format!("{before}{more}")));
            }
        }
    }
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

// TOML

fn toml_tables() -> impl Strategy<Value = Vec<String>> {
    let paths = [&["mcp", "memoria"][..], &["memoria"], &["a", "b", "me moria"], &["a"]];
    proptest::sample::select(paths.to_vec()).prop_map(words)
}

fn toml_text() -> impl Strategy<Value = String> {
    let line = proptest::sample::select(vec![
        "",
        "# a comment with [brackets] and = \"",
        "   ",
        "x = 1 # one",
        "command = 'mine'",
        "y.z = 2",
        "\"q = r\" = 3",
        "l = [\n  1, # [\n  2,\n]",
        "m = \"\"\"\n[mcp.memoria]\nx = '''\n\"\"\"",
        "i = { a = 1, b = 'x' }",
        "[mcp]",
        "[a]",
        "[a.b]",
        "[ mcp . 'memoria' ]",
        "[mcp.memoria.env]",
        "[[list]]",
        "[mcp.other]\ncommand = \"o\"",
        "[memoria]\ncommand = \"old\" # mine\nextra = true",
        "t = 2020-01-01T00:00:00Z",
        "'k' = 1",
        "memoria.x = 1",
    ]);
    proptest::collection::vec(line, 0..9).prop_map(|lines| lines.into_iter().map(|line| format!("{line}\n")).collect())
}

fn read_toml(text: &str) -> toml::Table {
    text.trim_start_matches('\u{feff}').parse().unwrap()
}

fn meant_toml(edit: &Edit, mut root: toml::Table) -> toml::Table {
    let Edit::Toml { table, text } = edit else { unreachable!("no edit of TOML") };
    let at = table.iter().fold(&mut root, |at, key| {
        at.entry(key.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new())).as_table_mut().unwrap()
    });
    at.extend(read_toml(text));
    root
}

// YAML

fn yaml_paths() -> impl Strategy<Value = Vec<String>> {
    let paths = [&["extensions", "memoria"][..], &["memoria"], &["a", "b", "memoria"]];
    proptest::sample::select(paths.to_vec()).prop_map(words)
}

fn yaml_text() -> impl Strategy<Value = String> {
    let leaf = proptest::sample::select(vec![
        " 1",
        " text # comment",
        " 'it''s: x'",
        " \"a # b\\\" c\"",
        " {}",
        " []",
        " [a, 'b, c', {d: e}]",
        " {k: [1,\n      2]}",
        " |\n      line: one\n\n        two\n",
        " |+\n      kept\n\n\n",
        " >-\n      folded\n      more",
        " plain goes\n      on here",
        "",
        " ~",
        " &x v",
    ]);
    let name = || proptest::sample::select(vec!["extensions", "memoria", "a", "b", "name", "'quoted key'", "k-1"]);
    let gap = || proptest::sample::select(vec!["", "", "", "\n", "# comment: here\n", "      # deep\n"]);
    let block = leaf.prop_map(|leaf| vec![leaf.to_owned()]).prop_recursive(3, 24, 4, move |inner| {
        let member = (gap(), name(), inner.clone());
        let map = (proptest::collection::vec(member, 1..4), 1..4usize).prop_map(|(members, wide)| {
            let mut seen = std::collections::BTreeSet::new();
            let mut lines = vec![String::new()];
            for (gap, name, inner) in members {
                if seen.insert(name) {
                    let (first, rest) = inner.split_first().unwrap();
                    lines.push(format!("{gap}{}{name}:{first}", " ".repeat(wide)));
                    lines.extend(rest.iter().map(|line| deeper(line, wide)));
                }
            }
            lines
        });
        let list = proptest::collection::vec(inner, 1..3).prop_map(|items| {
            let mut lines = vec![String::new()];
            for item in items {
                let (first, rest) = item.split_first().unwrap();
                lines.push(format!("  -{first}"));
                lines.extend(rest.iter().map(|line| deeper(line, 4)));
            }
            lines
        });
        prop_oneof![map, list]
    });
    let root = proptest::collection::vec((gap(), name(), block), 0..4);
    (root, any::<bool>(), any::<bool>()).prop_map(|(members, has_start, has_comment)| {
        let mut text = if has_start { "---\n".to_owned() } else { String::new() };
        let mut seen = std::collections::BTreeSet::new();
        for (gap, name, block) in members {
            if seen.insert(name) {
                let (first, rest) = block.split_first().unwrap();
                text += &format!("{gap}{name}:{first}\n");
                rest.iter().for_each(|line| text += &format!("{line}\n"));
            }
        }
        if has_comment { text + "# the end\n" } else { text }
    })
}

fn deeper(lines: &str, wide: usize) -> String {
    let moved = |line: &str| if line.is_empty() { String::new() } else { format!("{}{line}", " ".repeat(wide)) };
    lines.split('\n').map(moved).collect::<Vec<_>>().join("\n")
}

fn read_yaml(text: &str) -> serde_yaml::Value {
    serde_yaml::from_str(text.trim_start_matches('\u{feff}')).unwrap()
}

fn meant_yaml(edit: &Edit, mut root: serde_yaml::Value) -> serde_yaml::Value {
    use serde_yaml::{Mapping, Value};
    let Edit::Yaml { path, text } = edit else { unreachable!("no edit of YAML") };
    let at = path.iter().fold(&mut root, |at, key| {
        if at.is_null() {
            *at = Value::Mapping(Mapping::new());
        }
        at.as_mapping_mut().unwrap().entry(key.as_str().into()).or_insert(Value::Null)
    });
    if at.is_null() {
        *at = Value::Mapping(Mapping::new());
    }
    let Value::Mapping(ours) = read_yaml(text) else { unreachable!("ours is a mapping") };
    at.as_mapping_mut().unwrap().extend(ours);
    root
}

// Markdown

fn markdown() -> impl Strategy<Value = String> {
    let line = proptest::sample::select(vec![
        "",
        "# Title",
        "text",
        "```",
        "~~~~ rust",
        "```\n<!-- memoria:begin -->\n```",
        "<!-- a comment -->",
        "   ",
        "- é",
    ]);
    (proptest::collection::vec(line, 0..7), any::<bool>()).prop_map(|(lines, has_end)| {
        let text = lines.join("\n");
        if has_end { text + "\n" } else { text }
    })
}
