//! What an agent is told: a short text for the model and the same as structured content (`value`). Whatever was
//! deduplicated, masked, left out or missing is said, with what to do next. It never shows what somebody else wrote
//! outside of `quote`.

pub mod briefing;
mod memories;
mod names;
mod value;
mod versions;

use serde_json::Value;

use super::tools::Asked;
use crate::clock;
use crate::error::{Error, Result};
use crate::model::text::is_hidden;
use crate::model::{CommitId, Masked, Name, Time};
use crate::wire::limits;
use crate::wire::message::{Point, Response, Shaped};

/// A memory that is shown to be recognised, not to be read.
const GLIMPSE_CHARS_MAX: usize = 160;
/// Such memories in a text; the others are counted, and in the structured content.
const GLIMPSES_MAX: usize = 20;

pub struct Reply {
    pub text: String,
    pub structured: Value,
}

/// The reply to a call of one of our tools.
pub fn of(asked: &Asked, response: &Response) -> Result<Reply> {
    Ok(match response {
        Response::Stored(stored) => memories::stored(stored),
        Response::Retrieved(retrieved) => memories::retrieved(asked, retrieved),
        Response::Listed(listed) => memories::listed(asked, listed),
        Response::Corrected(corrected) => memories::corrected(corrected),
        Response::Purged(purged) => memories::purged(purged),
        Response::Rated(rated) => memories::rated(rated),
        Response::Profiled(profiled) => memories::profiled(asked, profiled),
        Response::Branches(branches) => names::branches(asked, branches),
        Response::Snapshots(snapshots) => names::snapshots(asked, snapshots),
        Response::Diffed(diffed) => versions::diffed(asked, diffed),
        Response::Moved(moved) => versions::moved(asked, moved),
        Response::Logged(logged) => versions::logged(asked, logged),
        Response::Blamed(blamed) => versions::blamed(blamed),
        Response::Shown(shown) => versions::shown(shown),
        _ => return Err(Error::internal("the daemon answered something else than was asked. See `memoria logs`.")),
    })
}

/// What is left of one reply over the wire, in bytes.
struct Room(usize);

impl Room {
    fn new() -> Self {
        Self(limits::REPLY_BYTES_MAX - Self::REST_BYTES_MAX)
    }

    /// Names, ids and times of one memory, its tags among them; and the frame around all.
    const REST_BYTES_MAX: usize = 16 << 10;

    /// Whether these fit together, each once as text and once as structured content. What does not fit takes nothing.
    fn take<'a>(&mut self, memories: impl IntoIterator<Item = &'a Shaped>) -> bool {
        let of_one = |shaped: &Shaped| {
            // Metadata is written as JSON within JSON.
            Self::REST_BYTES_MAX + 2 * (written(&shaped.memory.text) + 2 * written(&shaped.memory.metadata))
        };
        let bytes = memories.into_iter().map(of_one).sum();
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }

    /// The same of lines that hold short texts and no memory.
    fn take_lines<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) -> bool {
        let bytes = texts.into_iter().map(|text| 2 * written(text)).sum::<usize>() + (2 << 10);
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// Bytes of a text within JSON, hidden characters written out.
fn written(text: &str) -> usize {
    let of_one = |c| match c {
        '"' | '\\' | '\n' | '\t' => 2,
        c if is_hidden(c) => "\\\\u{10ffff}".len(),
        c => c.len_utf8(),
    };
    text.chars().map(of_one).sum()
}

fn counted(count: usize, what: &str) -> String {
    let (space, noun) = (if what.is_empty() { "" } else { " " }, if count == 1 { "memory" } else { "memories" });
    format!("{count}{space}{what} {noun}")
}

/// ` CAUTION: instructs the reader`, for a line within a quotation.
fn caution(flags: &[String]) -> String {
    if flags.is_empty() { String::new() } else { format!(" CAUTION: {}", flags.join(", ")) }
}

fn masked_note(masked: &[Masked]) -> String {
    if masked.is_empty() {
        return String::new();
    }
    let what: Vec<_> = masked.iter().map(Masked::sentence).collect();
    format!("\nMasked before anything was kept (field line:column): {}.", what.join("; "))
}

/// ` on branch x`; of the branch that everybody begins on there is nothing to say.
fn on(branch: &Name) -> String {
    if *branch == Name::main() { String::new() } else { format!(" on branch {branch}") }
}

/// A state by the name that was meant, else by its commit.
fn named(point: &Point) -> String {
    point.name.as_ref().map_or_else(|| format!("commit {}", short(point.commit)), Name::to_string)
}

/// Enough of a commit's id that no other commit shares it, in any store that people will have.
fn short(commit: CommitId) -> String {
    let mut id = commit.to_string();
    id.truncate(12);
    id
}

/// To the second, in a form that every tool takes back.
fn moment(time: Time) -> String {
    let time = clock::rfc3339(time);
    time.split_once('.').map_or(time.clone(), |(second, _)| format!("{second}Z"))
}
