//! TOML: random lines of every form that a table may be written in, and torn ones.

use memoria::agents::Edit;
use proptest::prelude::*;

use super::{Judge, damaged, dressed, rounds, spanner, words};

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

const JUDGE: Judge<toml::Table> = Judge { read: |text| text.parse().ok(), meant: meant_toml };

fn meant_toml(edit: &Edit, mut root: toml::Table) -> toml::Table {
    let Edit::Toml { table, text } = edit else { unreachable!("no edit of TOML") };
    let at = table.iter().fold(&mut root, |at, key| {
        at.entry(key.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new())).as_table_mut().unwrap()
    });
    at.extend(text.parse::<toml::Table>().unwrap());
    root
}

fn edit(table: Vec<String>) -> Edit {
    Edit::Toml { table, text: "command = \"/opt/memoria\"\nargs = [\"mcp\"]\n".to_owned() }
}

proptest! {
    #![proptest_config(rounds())]

    #[test]
    fn toml_is_edited_and_taken_back(table in toml_tables(), before in dressed(toml_text())) {
        JUDGE.is_never_harmed(&edit(table), &before)?;
    }

    #[test]
    fn a_line_beside_ours_stays_in_toml(
        table in toml_tables(), before in toml_text(), at in 0..40usize, is_key in any::<bool>()
    ) {
        JUDGE.keeps_a_neighbour(&edit(table), &before, if is_key { "user = 1\n" } else { "# of the user\n" }, at)?;
    }

    #[test]
    fn broken_toml_is_refused_or_edited_but_never_harmed(
        table in toml_tables(), text in toml_text(), at in 0..200usize, c in spanner()
    ) {
        JUDGE.is_never_harmed(&edit(table), &damaged(&text, at, c))?;
    }
}
