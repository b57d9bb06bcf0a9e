//! Keys of one table of a TOML file. The real parser reads the file before and after: what was not meant to change has
//! the same value, or nothing is written. Where it stands is found by a scanner of statements.

use std::ops::Range;

use ::toml::{Table, Value};

use super::{Past, hunk, newline_of, refusal, with_newlines_of};
use crate::error::{Error, Result};

/// Sets the keys in `ours` (lines of `key = value`) in the table; others beside them stay.
pub fn set(text: &str, table: &[String], ours: &str) -> Result<String> {
    let before = parse(text)?;
    let wanted = parse(ours)?;
    let present = at(&before, table);
    let is_same = |(key, value): (&String, &Value)| present.is_some_and(|found| found.get(key) == Some(value));
    if present.is_some() && wanted.iter().all(is_same) {
        return Ok(text.to_owned());
    }
    let after = match present {
        None => append(text, table, ours),
        Some(_) => {
            let missing = statements(ours);
            missing
                .iter()
                .filter(|own| !is_same_key(own, &wanted, present))
                .try_fold(text.to_owned(), |text, own| {
                    put_key(&text, table, &own.path, &ours[own.span.clone()], &ours[own.value.clone()])
                })?
        }
    };
    let mut expected = before;
    merge(&mut expected, table, &wanted);
    if parse(&after).ok().as_ref() == Some(&expected) {
        return Ok(after);
    }
    let place = statements(text).into_iter().find(|found| found.path.first() == table.first());
    Err(by_hand(text, table, place.map_or(0, |found| found.span.start)))
}

/// Takes back what [`set`] did.
pub fn unset(text: &str, table: &[String], ours: &str, past: Past<'_>) -> Result<Option<String>> {
    let now = parse(text)?;
    if at(&now, table).is_none() {
        return Ok(Some(text.to_owned()));
    }
    let before = match past {
        Past::Text(before) => before,
        Past::Absent | Past::Unknown => "",
    };
    let put_back = set(before, table, ours).ok().and_then(|applied| hunk::put_back(text, before, &applied));
    let left = match put_back.filter(|left| parse(left).is_ok_and(|left| is_taken_back(&left, before, table))) {
        Some(left) => left,
        None => restore(text, before, table, ours)?,
    };
    Ok(Some(left).filter(|left| past != Past::Absent || !left.trim().is_empty()))
}

fn parse(text: &str) -> Result<Table> {
    text.parse().map_err(|e: ::toml::de::Error| refusal(text, e.span().map_or(0, |span| span.start), e.message()))
}

fn at<'a>(root: &'a Table, path: &[String]) -> Option<&'a Table> {
    path.iter().try_fold(root, |table, key| table.get(key)?.as_table())
}

fn is_taken_back(left: &Table, before: &str, table: &[String]) -> bool {
    let old = parse(before).ok();
    at(left, table) == old.as_ref().and_then(|old| at(old, table))
}

fn is_same_key(own: &Statement, wanted: &Table, present: Option<&Table>) -> bool {
    let key = own.path.first();
    key.is_some_and(|key| present.and_then(|found| found.get(key)) == wanted.get(key))
}

fn merge(root: &mut Table, path: &[String], ours: &Table) {
    match path.split_first() {
        None => ours.iter().for_each(|(key, value)| drop(root.insert(key.clone(), value.clone()))),
        Some((key, rest)) => {
            if let Some(inner) = root.entry(key.clone()).or_insert_with(|| Value::Table(Table::new())).as_table_mut() {
                merge(inner, rest, ours);
            }
        }
    }
}

fn by_hand(text: &str, table: &[String], place: usize) -> Error {
    let name = table.join(".");
    refusal(text, place, format_args!("`{name}` is written in a way that cannot be changed safely: do it by hand"))
}

/// A table of its own at the end: nothing else is moved into another table by that.
fn append(text: &str, table: &[String], ours: &str) -> String {
    let newline = newline_of(text);
    let gap = match text {
        "" => String::new(),
        _ if text.ends_with('\n') => newline.to_owned(),
        _ => newline.repeat(2),
    };
    let is_bare = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let quote =
        |key: &String| if is_bare(key) { key.clone() } else { serde_json::Value::from(key.as_str()).to_string() };
    let header = table.iter().map(quote).collect::<Vec<_>>().join(".");
    let ours = with_newlines_of(text, ours.trim_end());
    format!("{text}{gap}[{header}]{newline}{ours}{newline}")
}

/// Replaces the value of this key, or puts its line behind the others of the table.
fn put_key(text: &str, table: &[String], key: &[String], line: &str, value: &str) -> Result<String> {
    let full = [table, key].concat();
    let all = statements(text);
    if let Some(found) = all.iter().find(|found| !found.is_header && found.path == full) {
        return Ok(format!("{}{value}{}", &text[..found.value.start], &text[found.value.end..]));
    }
    let header = all.iter().position(|found| found.is_header && found.path == table);
    let Some(header) = header else { return Err(by_hand(text, table, 0)) };
    let last = all[header + 1..].iter().take_while(|found| !found.is_header).last().unwrap_or(&all[header]);
    let end = text[last.span.end..].find('\n').map_or(text.len(), |at| last.span.end + at);
    let end = if text[..end].ends_with('\r') { end - 1 } else { end };
    Ok(format!("{}{}{line}{}", &text[..end], newline_of(text), &text[end..]))
}

/// Structurally: a table that was not there goes whole; of one that was, our keys become what they were.
fn restore(text: &str, before: &str, table: &[String], ours: &str) -> Result<String> {
    let old = parse(before)?;
    let mut left = text.to_owned();
    if at(&old, table).is_none() {
        while let Some(span) = section(&left, table) {
            left.replace_range(span, "");
        }
    } else {
        for own in statements(ours) {
            let full = [table, &own.path].concat();
            let pair = |text: &str| statements(text).into_iter().find(|found| !found.is_header && found.path == full);
            match (pair(&left), pair(before)) {
                (Some(now), Some(then)) => left.replace_range(now.value, &before[then.value]),
                (Some(now), None) => {
                    let end = left[now.span.end..].find('\n').map_or(left.len(), |at| now.span.end + at + 1);
                    left.replace_range(now.span.start..end, "");
                }
                (None, _) => {}
            }
        }
    }
    if parse(&left).is_ok_and(|left| is_taken_back(&left, before, table) || at(&old, table).is_some()) {
        return Ok(left);
    }
    Err(by_hand(text, table, 0))
}

/// The lines of this table and of those inside of it, with one blank line before; comments above the next header stay.
fn section(text: &str, table: &[String]) -> Option<Range<usize>> {
    let all = statements(text);
    let header = all.iter().position(|found| found.is_header && found.path.starts_with(table))?;
    let last = all[header + 1..].iter().take_while(|found| !found.is_header).last().unwrap_or(&all[header]);
    let end = text[last.span.end..].find('\n').map_or(text.len(), |at| last.span.end + at + 1);
    let start = all[header].span.start;
    let newline = newline_of(text);
    let has_blank = text[..start].ends_with(&newline.repeat(2));
    Some(if has_blank { start - newline.len()..end } else { start..end })
}

/// A header, or a key with its value. The text is known to be TOML.
struct Statement {
    is_header: bool,
    /// Of a key: with the header that it stands under.
    path: Vec<String>,
    /// Without the comment behind it.
    span: Range<usize>,
    /// Of a header: empty.
    value: Range<usize>,
}

fn statements(text: &str) -> Vec<Statement> {
    let mut found = Vec::new();
    let mut header: Vec<String> = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at + 1);
        let line = &text[start..line_end];
        let first = start + (line.len() - line.trim_start().len());
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            start = line_end;
            continue;
        }
        if text[first..].starts_with('[') {
            let brackets = text[first..].len() - text[first..].trim_start_matches('[').len();
            let (path, end) = key_path(text, first + brackets);
            header = path;
            let end = (end + brackets).min(line_end);
            found.push(Statement { is_header: true, path: header.clone(), span: first..end, value: end..end });
            start = line_end;
            continue;
        }
        let (key, equals) = key_path(text, first);
        let value = equals + 1;
        let value = value + (text[value..].len() - text[value..].trim_start_matches([' ', '\t']).len());
        let end = value_end(text, value);
        let path = [header.as_slice(), &key].concat();
        found.push(Statement { is_header: false, path, span: first..end, value: value..end });
        start = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
    }
    found
}

/// The parts of a dotted key, and where it ends: at `=` or `]`.
fn key_path(text: &str, start: usize) -> (Vec<String>, usize) {
    let mut parts = vec![String::new()];
    let mut at = start;
    while let Some(c) = text[at..].chars().next() {
        match c {
            '=' | ']' | '\n' => break,
            '.' => parts.push(String::new()),
            '"' | '\'' => {
                let end = string_end(text, at);
                let quoted = &text[at..end];
                let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned();
                let plain = if c == '"' { serde_json::from_str(quoted).unwrap_or(inner) } else { inner };
                parts.last_mut().into_iter().for_each(|part| part.push_str(&plain));
                at = end;
                continue;
            }
            ' ' | '\t' => {}
            _ => parts.last_mut().into_iter().for_each(|part| part.push(c)),
        }
        at += c.len_utf8();
    }
    (parts, at)
}

/// Behind a string that opens here, of one line or of several.
fn string_end(text: &str, start: usize) -> usize {
    let quote = &text[start..start + 1];
    let triple = quote.repeat(3);
    let is_long = text[start..].starts_with(&triple);
    let close = if is_long { triple.as_str() } else { quote };
    let mut at = start + close.len();
    while at < text.len() && !text[at..].starts_with(close) {
        let escaped = quote == "\"" && text[at..].starts_with('\\');
        let next = |at: usize| text[at..].chars().next().map_or(0, char::len_utf8);
        at += next(at);
        if escaped {
            at += next(at);
        }
    }
    at = (at + close.len()).min(text.len());
    // Up to two quotes may stand before the three that close.
    while is_long && text[at..].starts_with(quote) {
        at += 1;
    }
    at
}

fn value_end(text: &str, start: usize) -> usize {
    let (mut at, mut depth, mut end) = (start, 0usize, start);
    while let Some(c) = text[at..].chars().next() {
        match c {
            '"' | '\'' => {
                at = string_end(text, at);
                end = at;
                continue;
            }
            '#' => {
                at = text[at..].find('\n').map_or(text.len(), |len| at + len);
                if depth == 0 {
                    return end;
                }
                continue;
            }
            '\n' if depth == 0 => return end,
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += c.len_utf8();
        if !c.is_whitespace() {
            end = at;
        }
    }
    end
}
