//! Puts a member or an item into a container and takes one out, in the manner of the file: its indentation, its line
//! ends, its trailing comma. Taking out what was put in gives the very bytes back.

use std::ops::Range;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::tree::{Body, Kind, Node};
use crate::agents::edit::newline_of;
use crate::error::{Error, Result};

/// How a file is laid out.
pub struct Layout {
    newline: &'static str,
    unit: String,
    is_minified: bool,
}

impl Layout {
    pub fn of(text: &str) -> Self {
        let indented = text.lines().find(|line| line.starts_with([' ', '\t']) && !line.trim().is_empty());
        let unit = indented.map(|line| &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]);
        let unit = match unit {
            Some(unit) if unit.starts_with('\t') => "\t",
            // Deeper than any style goes: the first line was not one level in.
            Some(unit) if unit.len() <= 8 => unit,
            _ => "  ",
        };
        let is_minified = !text.trim().is_empty() && !text.contains('\n') && !text.contains(": ");
        Self { newline: newline_of(text), unit: unit.to_owned(), is_minified }
    }

    /// A value whose lines after the first are indented by `base` and more.
    pub fn pretty(&self, value: &Value, base: &str) -> Result<String> {
        let mut bytes = Vec::new();
        let formatter = PrettyFormatter::with_indent(self.unit.as_bytes());
        let written = value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter));
        let text = written.ok().and_then(|()| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| Error::internal("a value could not be written as JSON"))?;
        Ok(text.replace('\n', &format!("{}{base}", self.newline)))
    }

    /// A value in place of another one that begins at this place.
    pub fn in_place(&self, text: &str, at: usize, value: &Value) -> Result<String> {
        if self.is_minified { Ok(value.to_string()) } else { self.pretty(value, indent_at(text, at)) }
    }
}

/// The white space that the line of this place begins with.
fn indent_at(text: &str, at: usize) -> &str {
    let line = &text[text[..at].rfind('\n').map_or(0, |end| end + 1)..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// The text with this range replaced.
pub fn replaced(text: &str, range: Range<usize>, by: &str) -> String {
    format!("{}{by}{}", &text[..range.start], &text[range.end..])
}

/// JSON's own. Other white space at the end of a comment belongs to the comment.
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// Adds a last item to the array, or a last member (with this key) to the object.
pub fn add(text: &str, container: &Node, body: &Body, key: Option<&str>, value: &Value) -> Result<String> {
    let layout = Layout::of(text);
    let (open, close) = (container.span.start, container.span.end - 1);
    let colon = if layout.is_minified { ":" } else { ": " };
    let key = key.map(|key| format!("{}{colon}", Value::from(key))).unwrap_or_default();
    let outer = indent_at(text, open);
    let (Some(first), Some(last)) = (body.slots.first(), body.slots.last()) else {
        let inside = &text[open + 1..close];
        let inner = format!("{outer}{}", layout.unit);
        let item = if layout.is_minified { value.to_string() } else { layout.pretty(value, &inner)? };
        if layout.is_minified {
            return Ok(replaced(text, open + 1..close, &format!("{inside}{key}{item}")));
        }
        let item = format!("{}{inner}{key}{item}", layout.newline);
        if inside.trim_matches(BLANKS).is_empty() && !inside.contains('\n') {
            return Ok(replaced(text, open + 1..close, &format!("{item}{}{outer}", layout.newline)));
        }
        let at = open + 1 + inside.trim_end_matches(BLANKS).len();
        return Ok(replaced(text, at..at, &item));
    };
    let is_inline = !text[open..first.start].contains('\n');
    let inner = indent_at(text, last.start);
    let item = match (is_inline, layout.is_minified) {
        (true, true) => format!("{key}{value}"),
        (true, false) => format!(" {key}{value}"),
        (false, _) => format!("{}{inner}{key}{}", layout.newline, layout.pretty(value, inner)?),
    };
    let place = |from: usize| if is_inline { from } else { behind_comments(text, from) };
    Ok(match body.commas.get(body.slots.len() - 1) {
        Some(comma) => {
            let at = place(comma + 1);
            replaced(text, at..at, &format!("{item},"))
        }
        None => {
            let at = place(last.end());
            format!("{},{}{item}{}", &text[..last.end()], &text[last.end()..at], &text[at..])
        }
    })
}

/// Behind the comments that end this line: they belong to what stands before them.
fn behind_comments(text: &str, from: usize) -> usize {
    let line = &text[from..];
    let line = &line[..line.find('\n').unwrap_or(line.len())];
    let line = line.strip_suffix('\r').unwrap_or(line);
    let mut rest = line.trim_start();
    while let Some(inner) = rest.strip_prefix("/*") {
        match inner.find("*/") {
            Some(end) => rest = inner[end + 2..].trim_start(),
            None => return from,
        }
    }
    let is_all_comment = rest.is_empty() || rest.starts_with("//");
    if is_all_comment && !line.trim().is_empty() { from + line.len() } else { from }
}

/// Takes the slot at this place out.
pub fn cut(text: &str, container: &Node, body: &Body, place: usize) -> String {
    let slot = &body.slots[place];
    let floor = if place == 0 { container.span.start + 1 } else { body.slots[place - 1].end() };
    let blank = floor + text[floor..slot.start].trim_end_matches(BLANKS).len();
    // What was put in begins with its own line end; blanks before that were there already.
    let start = match text[blank..slot.start].rfind('\n').map(|at| blank + at) {
        Some(at) if at > blank && text[..at].ends_with('\r') => at - 1,
        Some(at) => at,
        None => blank,
    };
    match (body.commas.get(place), place) {
        (Some(comma), _) => replaced(text, start..comma + 1, ""),
        (None, 0) => replaced(text, start..slot.end(), ""),
        (None, _) => {
            let comma = body.commas[place - 1];
            let kept = text.get(comma + 1..start).unwrap_or_default();
            format!("{}{kept}{}", &text[..comma], &text[slot.end()..])
        }
    }
}

/// What stands between the brackets.
pub fn inside<'a>(text: &'a str, container: &Node) -> Option<&'a str> {
    match container.kind {
        Kind::Object(..) | Kind::Array(_) => text.get(container.span.start + 1..container.span.end - 1),
        Kind::Scalar(_) => None,
    }
}
