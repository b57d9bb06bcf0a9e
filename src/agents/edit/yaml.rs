//! Members of the block mappings of a YAML file: set, and taken back. Lines are put in and taken out whole; every other
//! line stays. What stands in braces is refused, unless it is empty.

mod tree;

use super::{Past, hunk, newline_of, refusal, with_newlines_of};
use crate::error::{Error, Result};
use tree::{Entry, Form, Tree, parse, unquoted};

/// Sets what stands at the path: `ours` are the lines of that mapping. Keys beside ours stay.
pub fn set(text: &str, path: &[String], ours: &str) -> Result<String> {
    let tree = parse(text)?;
    refuse_anchors(text, &tree, path)?;
    let Some(place) = tree.find(text, path)? else { return insert(text, &tree, path, ours) };
    let wanted = parse(ours)?;
    match tree.children(Some(place)).next() {
        None => return fill(text, &tree, place, ours),
        Some((_, child)) if child.form != Form::Member => return Err(no_mapping(text, child)),
        Some(_) => {}
    }
    let mut after = text.to_owned();
    for (own, entry) in wanted.children(None) {
        let Some(key) = &entry.key else { continue };
        let lines = &ours[entry.line..entry.end];
        let tree = parse(&after)?;
        let Some(place) = tree.find(&after, path)? else { continue };
        match tree.member(&after, Some(place), key)? {
            Some(old) if events(&after, &tree, old) == events(ours, &wanted, own) => {}
            Some(old) => {
                let old = &tree.entries[old];
                let lines = indented(&after, lines, old.indent);
                after.replace_range(old.line..old.end, &lines);
            }
            None => after = behind_children(&after, &tree, Some(place), lines),
        }
    }
    Ok(after)
}

/// Takes back what [`set`] did.
pub fn unset(text: &str, path: &[String], ours: &str, past: Past<'_>) -> Result<Option<String>> {
    let tree = parse(text)?;
    let Some(place) = tree.find(text, path)? else { return Ok(Some(text.to_owned())) };
    let before = match past {
        Past::Text(before) => before,
        Past::Absent | Past::Unknown => "",
    };
    let old = parse(before).unwrap_or_default();
    let old_place = old.find(before, path)?;
    if let Past::Text(before) = past
        && let Ok(applied) = set(before, path, ours)
        && let Some(left) = hunk::put_back(text, before, &applied)
        && parse(&left).is_ok_and(|tree| tree.find(&left, path).is_ok_and(|at| at.is_some() == old_place.is_some()))
    {
        return Ok(Some(left));
    }
    let left = match old_place {
        None => prune(without(text, &tree, place), path, before, &old, past)?,
        Some(old_place) => restore(text, path, ours, before, &old, old_place)?,
    };
    Ok(Some(left).filter(|left| past != Past::Absent || !left.trim().is_empty()))
}

/// Of a mapping that was there before: our keys become what they were.
fn restore(text: &str, path: &[String], ours: &str, before: &str, old: &Tree, old_place: usize) -> Result<String> {
    let wanted = parse(ours)?;
    let mut left = text.to_owned();
    for (own, entry) in wanted.children(None) {
        let Some(key) = &entry.key else { continue };
        let tree = parse(&left)?;
        let Some(place) = tree.find(&left, path)? else { break };
        let Some(now) = tree.member(&left, Some(place), key)? else { continue };
        if events(&left, &tree, now) != events(ours, &wanted, own) {
            continue;
        }
        match old.member(before, Some(old_place), key)? {
            Some(then) => {
                let lines =
                    indented(&left, &before[old.entries[then].line..old.entries[then].end], tree.entries[now].indent);
                left.replace_range(tree.entries[now].line..tree.entries[now].end, &lines);
            }
            None => left = without(&left, &tree, now),
        }
    }
    Ok(left)
}

/// After a member went: what we made for it and holds nothing now goes as well.
fn prune(mut text: String, path: &[String], before: &str, old: &Tree, past: Past<'_>) -> Result<String> {
    for depth in (1..path.len()).rev() {
        let tree = parse(&text)?;
        let Some(place) = tree.find(&text, &path[..depth])? else { break };
        if tree.children(Some(place)).next().is_some() || past == Past::Unknown {
            break;
        }
        let Some(then) = old.find(before, &path[..depth])? else {
            text = without(&text, &tree, place);
            continue;
        };
        let (now, then) = (&tree.entries[place], &old.entries[then]);
        if !then.value.is_empty() {
            text.replace_range(now.line..now.end, &before[then.line..then.end]);
        }
        break;
    }
    Ok(text)
}

fn without(text: &str, tree: &Tree, place: usize) -> String {
    let entry = &tree.entries[place];
    format!("{}{}", &text[..entry.line], &text[entry.end..])
}

/// Makes what is missing of the path, in the deepest mapping that is there.
fn insert(text: &str, tree: &Tree, path: &[String], ours: &str) -> Result<String> {
    let mut parent = None;
    for (depth, key) in path.iter().enumerate() {
        if let Some(place) = tree.member(text, parent, key)? {
            parent = Some(place);
            continue;
        }
        let mut lines = ours.trim_end().to_owned() + "\n";
        for key in path[depth..].iter().rev() {
            let inner: String = lines.lines().map(|line| format!("  {line}\n")).collect();
            lines = format!("{key}:\n{inner}");
        }
        let has_children = tree.children(parent).next().is_some();
        return match (parent, has_children) {
            (Some(place), false) => fill(text, tree, place, &lines),
            _ => match tree.children(parent).find(|(_, child)| child.form != Form::Member) {
                Some((_, child)) => Err(no_mapping(text, child)),
                None => Ok(behind_children(text, tree, parent, &lines)),
            },
        };
    }
    Ok(text.to_owned())
}

/// What has an anchor may be meant in other places of the file as well, and would change there too; a tag says what it
/// must be.
fn refuse_anchors(text: &str, tree: &Tree, path: &[String]) -> Result<()> {
    for depth in 1..=path.len() {
        let Some(place) = tree.find(text, &path[..depth])? else { break };
        let entry = &tree.entries[place];
        if text[entry.value.start..].starts_with(['&', '!']) {
            let key = &path[depth - 1];
            return Err(refusal(text, entry.line, format_args!("`{key}` has an anchor or a tag: do it by hand")));
        }
    }
    Ok(())
}

fn no_mapping(text: &str, child: &Entry) -> Error {
    refusal(text, child.line, "`key: value` is expected here")
}

/// Gives children to a key that has none: its value must say nothing.
fn fill(text: &str, tree: &Tree, place: usize, lines: &str) -> Result<String> {
    let entry = &tree.entries[place];
    let value = &text[entry.value.clone()];
    // A plain text goes on over the lines below it.
    let has_more = text[entry.value.end..entry.end].lines().skip(1).any(|line| !line.trim().is_empty());
    if has_more || !matches!(value, "" | "{}" | "null" | "~") {
        let key = entry.key.as_deref().unwrap_or_default();
        return Err(refusal(
            text,
            entry.line,
            format_args!("what `{key}` holds is not written as lines of `key: value`"),
        ));
    }
    let lines = indented(text, lines, entry.indent + unit(tree));
    let head = text[..entry.value.start].trim_end_matches(' ').len();
    let head = if value.is_empty() { entry.value.end } else { head };
    let own = format!("{}{}", &text[..head], &text[entry.value.end..entry.end]);
    let gap = if own.ends_with('\n') { "" } else { newline_of(text) };
    Ok(format!("{own}{gap}{lines}{}", &text[entry.end..]))
}

/// Puts lines behind the last child, as another child.
fn behind_children(text: &str, tree: &Tree, parent: Option<usize>, lines: &str) -> String {
    let last = tree.children(parent).last().map(|(_, last)| last);
    let indent = last.map_or(0, |last| last.indent);
    // At the outermost level the end of the file is as good, and looks better below comments.
    let at = match (parent, last) {
        (Some(_), Some(last)) => last.end,
        _ => text.len(),
    };
    let gap = if at == 0 || text[..at].ends_with('\n') { "" } else { newline_of(text) };
    format!("{}{gap}{}{}", &text[..at], indented(text, lines, indent), &text[at..])
}

/// These lines, moved to this column, with the file's line ends.
fn indented(text: &str, lines: &str, indent: usize) -> String {
    let own = lines.lines().find(|line| !line.trim().is_empty());
    let own = own.map_or(0, |line| line.len() - line.trim_start_matches(' ').len());
    let pad = " ".repeat(indent);
    let moved = lines.lines().map(|line| match line.get(own..) {
        Some(rest) if !line.trim().is_empty() => format!("{pad}{rest}\n"),
        _ => "\n".to_owned(),
    });
    with_newlines_of(text, &moved.collect::<String>())
}

/// How far this file indents.
fn unit(tree: &Tree) -> usize {
    let inner = tree.entries.iter().filter(|entry| entry.form == Form::Member);
    let steps = inner.filter_map(|entry| Some(entry.indent - tree.entries[entry.parent?].indent));
    steps.into_iter().find(|step| *step > 0).unwrap_or(2)
}

/// What an entry says, however it is written: clients write their files anew in a manner of their own.
fn events(text: &str, tree: &Tree, place: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    say(text, tree, place, 0, &mut found);
    found
}

fn say(text: &str, tree: &Tree, place: usize, depth: usize, found: &mut Vec<(usize, String)>) {
    let entry = &tree.entries[place];
    let value = &text[entry.value.clone()];
    let name = entry.key.as_deref().unwrap_or("-");
    found.push((depth, name.to_owned()));
    let list = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match list.filter(|list| !list.contains(['[', '{', '"', '\'']) || !list.contains(',')) {
        Some(list) => {
            for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
                found.extend([(depth + 1, "-".to_owned()), (depth + 2, unquoted(item))]);
            }
        }
        None if value.starts_with(['|', '>']) => found.push((depth + 1, text[entry.value.start..entry.end].to_owned())),
        None if !value.is_empty() => found.push((depth + 1, unquoted(value))),
        None => {}
    }
    for (child, inner) in tree.children(Some(place)) {
        match inner.form {
            // A scalar behind a dash is what the dash says.
            Form::Scalar => found.push((depth + 1, unquoted(&text[inner.value.clone()]))),
            Form::Member | Form::Item => say(text, tree, child, depth + 1, found),
        }
    }
}
