//! YAML: random trees in every style that is common, torn ones, and lines thrown together.

use memoria::agents::Edit;
use proptest::prelude::*;

use super::{Judge, damaged, dressed, rounds, spanner, words};

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

const JUDGE: Judge<serde_yaml::Value> = Judge { read: |text| serde_yaml::from_str(text).ok(), meant: meant_yaml };

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
    let Ok(Value::Mapping(ours)) = serde_yaml::from_str(text) else { unreachable!("ours is a mapping") };
    at.as_mapping_mut().unwrap().extend(ours);
    root
}

fn edit(path: Vec<String>) -> Edit {
    Edit::Yaml { path, text: "name: memoria\ntype: stdio\nargs:\n  - mcp\nenvs: {}\n".to_owned() }
}

#[test]
fn a_byte_order_mark_in_the_middle_is_refused_since_columns_are_read_otherwise_behind_it() {
    let before = "---\n\n\u{feff}a:\n 'quoted key':\n extensions:\n   - on here\n";
    let refusal = edit(words(&["extensions", "memoria"])).apply(Some(before)).unwrap_err();
    assert!(refusal.message.starts_with("line 3: a byte order mark"), "{refusal}");
    assert!(
        edit(words(&["extensions", "memoria"])).apply(Some("\u{feff}a: 1\n")).is_ok(),
        "at the beginning it may stand"
    );
}

/// Lines that are each common, thrown together at any depth.
fn soup() -> impl Strategy<Value = String> {
    let line = proptest::sample::select(vec![
        "extensions:",
        "memoria:",
        "a:",
        "b: 1",
        "c: x # y",
        "d: 'x",
        "it''s'",
        "- x",
        "- k: v",
        "-",
        "e: |",
        "f: >-",
        "g: &x",
        "h: *x",
        "<<: *x",
        "i: {",
        "}",
        "j: [1,",
        "2]",
        "k: {a: b}",
        "\"m\\x65moria\":",
        "? q",
        ": r",
        "---",
        "...",
        "# c",
        "",
        "\t",
        "extensions: {}",
        "extensions: &x {}",
        "extensions: !!map",
        "memoria: ~",
        "plain text",
        "l: a: b",
        "'q': r",
        "!t m: 1",
        "n: \"a",
        "b\"",
        "extensions: &x",
        "o: *x",
        "%YAML 1.2",
        "p: @",
        "args: []",
        "type: stdio",
    ]);
    let placed = (0..4usize, line).prop_map(|(depth, line)| format!("{}{line}\n", "  ".repeat(depth)));
    proptest::collection::vec(placed, 0..9).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(rounds())]

    #[test]
    fn yaml_is_edited_and_taken_back(path in yaml_paths(), before in dressed(yaml_text())) {
        JUDGE.is_never_harmed(&edit(path), &before)?;
    }

    #[test]
    fn a_line_beside_ours_stays_in_yaml(
        path in yaml_paths(), before in yaml_text(), at in 0..40usize, depth in 0..3usize, is_key in any::<bool>()
    ) {
        let line = format!("{}{}\n", "  ".repeat(depth), if is_key { "user: 1" } else { "# of the user" });
        JUDGE.keeps_a_neighbour(&edit(path), &before, &line, at)?;
    }

    #[test]
    fn broken_yaml_is_refused_or_edited_but_never_harmed(
        path in yaml_paths(), text in yaml_text(), at in 0..200usize, c in spanner()
    ) {
        JUDGE.is_never_harmed(&edit(path), &damaged(&text, at, c))?;
    }

    #[test]
    fn yaml_of_random_lines_is_refused_or_edited_but_never_harmed(path in yaml_paths(), text in soup()) {
        JUDGE.is_never_harmed(&edit(path), &text)?;
    }
}
