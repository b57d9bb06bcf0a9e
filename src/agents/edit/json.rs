//! Members and items of JSON files: set, appended, taken out. `tree` reads, `splice` changes; here is decided what.
//! Every byte that is not ours stays, and what cannot be read, or is not what the path expects, is refused.

mod splice;
mod tree;

use serde_json::{Map, Value};

use super::{Dialect, Past, newline_of, refusal};
use crate::error::Result;
use splice::Layout;
use tree::{Kind, Node};

/// Sets the value at the path; objects are merged key by key.
pub fn set(text: &str, path: &[String], value: &Value, dialect: Dialect) -> Result<String> {
    let Some(root) = tree::parse(text, dialect)? else { return whole(text, path, value) };
    if let (Some(node), Value::Object(ours)) = (root.find(text, path)?, value)
        && matches!(node.kind, Kind::Object(..))
    {
        return ours.iter().try_fold(text.to_owned(), |text, (key, value)| {
            set(&text, &[path, std::slice::from_ref(key)].concat(), value, dialect)
        });
    }
    match root.find(text, path)? {
        Some(node) if node.value() == *value => Ok(text.to_owned()),
        Some(node) => {
            let shown = Layout::of(text).in_place(text, node.span.start, value)?;
            Ok(splice::replaced(text, node.span.clone(), &shown))
        }
        None => insert(text, &root, path, value),
    }
}

/// Appends the item to the array at the path, or brings an older one of ours up to date.
pub fn append(text: &str, path: &[String], item: &Value, dialect: Dialect) -> Result<String> {
    let list = || Value::Array(vec![item.clone()]);
    let Some(root) = tree::parse(text, dialect)? else { return whole(text, path, &list()) };
    let Some(array) = root.find(text, path)? else { return insert(text, &root, path, &list()) };
    let Kind::Array(body) = &array.kind else {
        return Err(refusal(text, array.span.start, format_args!("`{}` is no array", path.join("."))));
    };
    if body.slots.iter().any(|slot| slot.value.value() == *item) {
        return Ok(text.to_owned());
    }
    match body.slots.iter().find(|slot| is_ours(&slot.value.value(), item)) {
        Some(old) => {
            let shown = Layout::of(text).in_place(text, old.start, item)?;
            Ok(splice::replaced(text, old.value.span.clone(), &shown))
        }
        None if holds_ours(array, item) => Ok(text.to_owned()),
        None => splice::add(text, array, body, None, item),
    }
}

/// Takes back what [`set`] did.
pub fn unset(text: &str, path: &[String], value: &Value, dialect: Dialect, past: Past<'_>) -> Result<Option<String>> {
    let Some(root) = tree::parse(text, dialect)? else { return Ok(Some(text.to_owned())) };
    let Some(node) = root.find(text, path)? else { return Ok(Some(text.to_owned())) };
    let Some((before, old_root)) = read(past, dialect) else { return without(text, &root, path, dialect, past) };
    let Some(old) = old_root.find(before, path)? else { return without(text, &root, path, dialect, past) };
    match (&node.kind, &old.kind, value) {
        (Kind::Object(..), Kind::Object(..), Value::Object(ours)) => {
            let mut left = text.to_owned();
            for (key, value) in ours {
                let path = [path, std::slice::from_ref(key)].concat();
                left = unset(&left, &path, value, dialect, past)?.unwrap_or_default();
            }
            Ok(Some(left))
        }
        _ if node.value() == *value => Ok(Some(splice::replaced(text, node.span.clone(), &before[old.span.clone()]))),
        _ => Ok(Some(text.to_owned())),
    }
}

/// Takes back what [`append`] did: our item, also where somebody has moved it into a larger one.
pub fn take_out(text: &str, path: &[String], item: &Value, dialect: Dialect, past: Past<'_>) -> Result<Option<String>> {
    let old = match read(past, dialect) {
        Some((before, root)) => root.find(before, path)?.map(Node::value),
        None => None,
    };
    let was_there = |value: &Value| old.as_ref().and_then(Value::as_array).is_some_and(|list| list.contains(value));
    let mut left = text.to_owned();
    loop {
        let Some(root) = tree::parse(&left, dialect)? else { return Ok(Some(left)) };
        let Some(array) = root.find(&left, path)? else { return Ok(Some(left)) };
        let Some((container, place)) = find_ours(array, item, &was_there) else { break };
        let Some(body) = container.body() else { break };
        left = splice::cut(&left, container, body, place);
    }
    if left == text { Ok(Some(left)) } else { prune(left, path, dialect, past) }
}

/// A file that holds nothing yet.
fn whole(text: &str, path: &[String], value: &Value) -> Result<String> {
    let newline = newline_of(text);
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { newline };
    Ok(format!("{text}{gap}{}{newline}", Layout::of(text).pretty(&nested(path, value), "")?))
}

fn nested(path: &[String], value: &Value) -> Value {
    path.iter().rev().fold(value.clone(), |inner, key| Value::Object(Map::from_iter([(key.clone(), inner)])))
}

/// Puts what is missing of the path into the deepest object that is there.
fn insert(text: &str, root: &Node, path: &[String], value: &Value) -> Result<String> {
    let mut node = root;
    for (depth, key) in path.iter().enumerate() {
        let Kind::Object(body, _) = &node.kind else {
            let name =
                if depth == 0 { "the outermost value".to_owned() } else { format!("`{}`", path[..depth].join(".")) };
            return Err(refusal(text, node.span.start, format_args!("{name} is no object")));
        };
        match node.member(text, key)? {
            Some(place) => node = &body.slots[place].value,
            None => return splice::add(text, node, body, Some(key), &nested(&path[depth + 1..], value)),
        }
    }
    Ok(text.to_owned())
}

/// The past as a tree. A past that cannot be read says nothing: we would not have edited it.
fn read(past: Past<'_>, dialect: Dialect) -> Option<(&str, Node)> {
    match past {
        Past::Text(before) => Some((before, tree::parse(before, dialect).ok()??)),
        Past::Absent | Past::Unknown => None,
    }
}

/// The text without the member at this path, and without the containers that were made for it.
fn without(text: &str, root: &Node, path: &[String], dialect: Dialect, past: Past<'_>) -> Result<Option<String>> {
    let Some((key, above)) = path.split_last() else { return Ok(Some(text.to_owned())) };
    let Some(object) = root.find(text, above)? else { return Ok(Some(text.to_owned())) };
    let (Some(place), Some(body)) = (object.member(text, key)?, object.body()) else {
        return Ok(Some(text.to_owned()));
    };
    prune(splice::cut(text, object, body, place), above, dialect, past)
}

/// After something went from the container at the path: an empty one goes too if we made it, else it looks as it did.
fn prune(text: String, path: &[String], dialect: Dialect, past: Past<'_>) -> Result<Option<String>> {
    let Some(root) = tree::parse(&text, dialect)? else { return Ok(Some(text)) };
    let Some(node) = root.find(&text, path)? else { return Ok(Some(text)) };
    let is_empty = splice::inside(&text, node).is_some_and(|inside| inside.trim().is_empty());
    if !is_empty || past == Past::Unknown {
        return Ok(Some(text));
    }
    let old = read(past, dialect);
    let old = match &old {
        Some((before, root)) => root.find(before, path)?.and_then(|node| splice::inside(before, node)),
        None => None,
    };
    match (old, past) {
        (Some(inside), _) if inside.trim().is_empty() => {
            Ok(Some(splice::replaced(&text, node.span.start + 1..node.span.end - 1, inside)))
        }
        (Some(_), _) => Ok(Some(text)),
        (None, Past::Text(before)) if path.is_empty() => {
            // There was no JSON yet, only white space and comments; whatever was added around ours since stays.
            let rest = format!("{}{}", &text[..node.span.start], &text[node.span.end..]);
            Ok(Some(if rest.trim() == before.trim() { before.to_owned() } else { rest }))
        }
        (None, _) if path.is_empty() => {
            let rest = format!("{}{}", &text[..node.span.start], &text[node.span.end..]);
            Ok(Some(rest).filter(|rest| !rest.trim().is_empty()))
        }
        (None, _) => without(&text, &root, path, dialect, past),
    }
}

/// The first of our items in this array or, where an item holds more than ours, inside of it.
fn find_ours<'a>(array: &'a Node, item: &Value, was_there: &dyn Fn(&Value) -> bool) -> Option<(&'a Node, usize)> {
    let body = array.body()?;
    for (place, slot) in body.slots.iter().enumerate() {
        let value = slot.value.value();
        let is_item = matches!(array.kind, Kind::Array(_)) && (value == *item || is_ours(&value, item));
        if is_item && !was_there(&value) {
            return Some((array, place));
        }
        if !is_item && let Some(found) = find_ours(&slot.value, item, was_there) {
            return Some(found);
        }
    }
    None
}

fn holds_ours(array: &Node, item: &Value) -> bool {
    find_ours(array, item, &|_| false).is_some()
}

/// Whether every command in it is the one that our item runs, wherever `memoria` lay when it was written.
pub fn is_ours(value: &Value, item: &Value) -> bool {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    commands(value, &mut theirs);
    commands(item, &mut ours);
    let Some(ours) = ours.first().and_then(|command| what_of_ours(command)) else { return false };
    !theirs.is_empty() && theirs.iter().all(|command| what_of_ours(command).as_ref() == Some(&ours))
}

/// Every command line in this value: `command`, with `args` where they stand beside it.
fn commands(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(command)) = members.get("command") {
                let args = members.get("args").and_then(Value::as_array);
                let args = args.into_iter().flatten().filter_map(Value::as_str);
                found.push(std::iter::once(command.as_str()).chain(args).collect::<Vec<_>>().join(" "));
            }
            members.values().for_each(|inner| commands(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| commands(inner, found)),
        _ => {}
    }
}

/// `hook session-start claude-code` or `mcp`, of a command line that runs `memoria`.
fn what_of_ours(command: &str) -> Option<String> {
    let (program, what) = match command.split_once(" hook ") {
        Some((program, rest)) => {
            let agent = rest.split_whitespace().skip_while(|word| *word != "--agent").nth(1).unwrap_or_default();
            (program, format!("hook {} {agent}", rest.split_whitespace().next()?))
        }
        None => (command.trim_end().strip_suffix(" mcp")?, "mcp".to_owned()),
    };
    let name = program.trim().trim_matches(['"', '\'']).rsplit(['/', '\\']).next()?;
    ["memoria", "memoria.exe"].contains(&name).then_some(what)
}
