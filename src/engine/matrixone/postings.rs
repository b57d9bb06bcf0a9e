//! Which version has which words, who spoke in which session, and how the ids of memories begin: rows of numbers, of
//! every version that ever was, added when a version is and taken away when it is erased. Which of them are live
//! somewhere is not known here.
//!
//! The server's own full-text index is not used: it would have to be one for each branch, a deletion from it reads all
//! of it, and what it finds must be counted and scored anew (ARCHITECTURE.md has the figures).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use roaring::RoaringBitmap;

use super::session::Session;
use super::{live, sql};
use crate::error::Result;
use crate::lexical::Words;
use crate::model::{Memory, MemoryId, SessionId};

/// Rows in one statement.
const ROWS_MAX: usize = 4_000;

/// A term by a number, which is how tables know it. Two words of one store share theirs with a probability of
/// n²/2^65: 1 in 70 million for a million different words.
pub fn key_of_term(term: &str) -> i64 {
    key(term.as_bytes())
}

/// A session by a number, in the same way.
pub fn key_of_session(session: &SessionId) -> i64 {
    key(session.as_str().as_bytes())
}

/// The first digits of a memory's id by a number, in the same way; no term begins so.
pub fn key_of_prefix(id: &MemoryId) -> i64 {
    let mut bytes = [0; 5];
    bytes[1..].copy_from_slice(&id.0[..4]);
    key(&bytes)
}

fn key(bytes: &[u8]) -> i64 {
    let hash = blake3::hash(bytes);
    hash.as_bytes().iter().take(8).fold(0, |key, byte| key << 8 | i64::from(*byte))
}

/// How often each term occurs, by its number.
pub fn frequencies(words: &Words) -> BTreeMap<i64, u16> {
    let mut frequencies = BTreeMap::new();
    for term in &words.terms {
        let frequency: &mut u16 = frequencies.entry(key_of_term(term)).or_default();
        *frequency = frequency.saturating_add(1);
    }
    frequencies
}

/// Adds what new versions say, and where. They are not there yet.
pub fn insert<'a>(session: &mut Session, fresh: impl Iterator<Item = (u32, &'a Memory, &'a Words)>) -> Result<()> {
    let (mut words, mut sessions) = (Rows::default(), Rows::default());
    for (vid, memory, said) in fresh {
        let len = said.len;
        words.push(format_args!("({},{vid},0,{len})", key_of_prefix(&memory.id)));
        for (term, frequency) in frequencies(said) {
            words.push(format_args!("({term},{vid},{frequency},{len})"));
        }
        words.send(session, sql::INSERT_WORDS, ROWS_MAX)?;
        if let Some(of) = &memory.session {
            let (key, observed_at) = (key_of_session(of), memory.observed_at.0);
            match memory.expires_at {
                Some(at) => sessions.push(format_args!("({key},{observed_at},{vid},{},{len})", at.0)),
                None => sessions.push(format_args!("({key},{observed_at},{vid},null,{len})")),
            }
            sessions.send(session, sql::INSERT_SESSIONS, ROWS_MAX)?;
        }
    }
    words.send(session, sql::INSERT_WORDS, 1)?;
    sessions.send(session, sql::INSERT_SESSIONS, 1)
}

/// Adds how the id of an erased version's memory begins.
pub fn insert_begun(session: &mut Session, vid: u32, id: &MemoryId) -> Result<()> {
    session.text(&format!("{}({},{vid},0,0)", sql::INSERT_WORDS, key_of_prefix(id)))
}

/// Takes away what these versions said and where; how the ids of their memories begin stays. It reads both tables:
/// erasing is rare.
pub fn silence(session: &mut Session, vids: &RoaringBitmap) -> Result<()> {
    for some in live::parts(vids) {
        session.text(&sql::delete_from("words", &format!("f > 0 and ({some})")))?;
        session.text(&sql::delete_from("sessions", &some))?;
    }
    Ok(())
}

/// Takes away everything of these versions.
pub fn forget(session: &mut Session, vids: &RoaringBitmap) -> Result<()> {
    for some in live::parts(vids) {
        session.text(&sql::delete_from("words", &some))?;
        session.text(&sql::delete_from("sessions", &some))?;
    }
    Ok(())
}

/// What the rows of one version come to, in whatever order they are: how many, their frequencies together and their
/// numbers, exclusively or-ed; of `words`, then of `sessions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub words: (u64, u64, u64),
    pub sessions: (u64, u64),
}

/// What they ought to come to; of an erased version, without what it said.
pub fn sum_of(id: &MemoryId, said: Option<(&Memory, &Words)>) -> Sum {
    let mut sum = Sum { words: (1, 0, key_of_prefix(id).cast_unsigned()), sessions: (0, 0) };
    let Some((memory, words)) = said else { return sum };
    for (term, frequency) in frequencies(words) {
        sum.words = (sum.words.0 + 1, sum.words.1 + u64::from(frequency), sum.words.2 ^ term.cast_unsigned());
    }
    if let Some(of) = &memory.session {
        sum.sessions = (1, key_of_session(of).cast_unsigned());
    }
    sum
}

/// Rows of numbers on their way into a table.
#[derive(Default)]
struct Rows {
    text: String,
    count: usize,
}

impl Rows {
    fn push(&mut self, row: std::fmt::Arguments<'_>) {
        let _ = write!(self.text, "{}{row}", if self.count > 0 { "," } else { "" });
        self.count += 1;
    }

    /// Sends them if there are so many.
    fn send(&mut self, session: &mut Session, into: &str, least: usize) -> Result<()> {
        if self.count < least {
            return Ok(());
        }
        let rows = std::mem::take(self);
        session.text(&format!("{into}{}", rows.text))
    }
}
