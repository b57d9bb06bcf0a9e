//! Changes of files that belong to somebody else: what an edit adds is spliced in, and every other byte stays. An edit
//! refuses what it cannot read, with the line. Pure: text in, text out; files are `agents/files.rs`'s business.

mod block;
mod hunk;
mod json;
mod toml;
mod yaml;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// One change of one file. The ledger keeps it, so that a later version can take back what an earlier one did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Edit {
    /// Sets what stands at this path of objects. Objects are merged: keys beside ours survive.
    Json { path: Vec<String>, value: serde_json::Value, dialect: Dialect },
    /// Puts this at the end of the array at the path, unless it is there; an entry of ours (one that runs
    /// `memoria hook <the same event>` or `memoria mcp`) is brought up to date.
    JsonItem { path: Vec<String>, value: serde_json::Value, dialect: Dialect },
    /// Sets the keys of this table: `text` is the lines under its header.
    Toml { table: Vec<String>, text: String },
    /// Sets what stands at this path of block mappings: `text` is that mapping's lines, not indented.
    Yaml { path: Vec<String>, text: String },
    /// Our text, between markers, in a shared file of Markdown.
    Block { text: String },
    /// A file that is ours alone.
    Whole { text: String },
}

/// What a client's JSON may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    Plain,
    /// Comments and trailing commas.
    Comments,
}

/// What a file was before the first edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past<'a> {
    Absent,
    Text(&'a str),
    /// Nobody wrote it down: containers that are left empty stay.
    Unknown,
}

impl<'a> Past<'a> {
    /// What a file without anything of ours is; `None`: there is none.
    pub fn of(before: Option<&'a str>) -> Self {
        before.map_or(Self::Absent, Self::Text)
    }
}

impl Edit {
    /// Whether both change the same place of a file: the later one then takes the place of the earlier one.
    pub fn is_at_place_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Json { path, .. }, Self::Json { path: other, .. })
            | (Self::Toml { table: path, .. }, Self::Toml { table: other, .. })
            | (Self::Yaml { path, .. }, Self::Yaml { path: other, .. }) => path == other,
            (Self::JsonItem { path, value, .. }, Self::JsonItem { path: other, value: theirs, .. }) => {
                path == other && (value == theirs || json::is_ours(theirs, value))
            }
            (Self::Block { .. }, Self::Block { .. }) | (Self::Whole { .. }, Self::Whole { .. }) => true,
            _ => false,
        }
    }

    /// The file's text with this edit, equal to `before` where nothing is to be done. `None`: there is no file.
    ///
    /// # Errors
    /// `Invalid`, opening with the line, where the text is not what it should be: nothing may be written then.
    pub fn apply(&self, before: Option<&str>) -> Result<String> {
        let (bom, text) = split_bom(before.unwrap_or_default());
        let after = match self {
            Self::Json { path, value, dialect } => json::set(text, path, value, *dialect),
            Self::JsonItem { path, value, dialect } => json::append(text, path, value, *dialect),
            Self::Block { text: ours } => block::put(text, ours),
            Self::Whole { text: ours } => Ok(with_newlines_of(text, ours)),
            Self::Toml { table, text: ours } => toml::set(text, table, ours),
            Self::Yaml { path, text: ours } => yaml::set(text, path, ours),
        }?;
        Ok(format!("{bom}{after}"))
    }

    /// The text without what this edit put there; `None`: nothing is left, and the file goes. What stands there and is
    /// not ours any more stays.
    ///
    /// # Errors
    /// As [`Edit::apply`].
    pub fn remove(&self, after: &str, past: Past<'_>) -> Result<Option<String>> {
        let (bom, text) = split_bom(after);
        let past = match past {
            Past::Text(text) => Past::Text(split_bom(text).1),
            other => other,
        };
        let left = match self {
            Self::Json { path, value, dialect } => json::unset(text, path, value, *dialect, past)?,
            Self::JsonItem { path, value, dialect } => json::take_out(text, path, value, *dialect, past)?,
            Self::Block { text: ours } => block::take_out(text, ours, past)?,
            Self::Whole { .. } => match past {
                Past::Text(before) => Some(before.to_owned()),
                Past::Absent | Past::Unknown => None,
            },
            Self::Toml { table, text: ours } => toml::unset(text, table, ours, past)?,
            Self::Yaml { path, text: ours } => yaml::unset(text, path, ours, past)?,
        };
        Ok(left.map(|left| format!("{bom}{left}")))
    }
}

fn split_bom(text: &str) -> (&str, &str) {
    text.split_at(if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 })
}

/// The end of line that most lines of a text have.
fn newline_of(text: &str) -> &'static str {
    if text.matches("\r\n").count() * 2 > text.matches('\n').count() { "\r\n" } else { "\n" }
}

/// Ours, with the ends of lines of the text that it goes into.
fn with_newlines_of(text: &str, ours: &str) -> String {
    if newline_of(text) == "\n" { ours.to_owned() } else { ours.replace('\n', "\r\n") }
}

/// A refusal; `files` puts the file's name in front of it.
fn refusal(text: &str, at: usize, what: impl std::fmt::Display) -> Error {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    Error::invalid(format!("line {line}: {what}"))
}
