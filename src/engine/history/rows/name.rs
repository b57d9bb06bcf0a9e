//! The rows of names: each move that a name made, the last of which says where it stands. It knows bytes; what may
//! become of a name is `names.rs`'s.

use super::damaged;
use super::reply::{kind, kind_number, name, protection, protection_number};
use crate::error::Result;
use crate::model::canon::{Reader, Writer};
use crate::model::{Name, NameKind, Protection, Time};

/// What happened to a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It came to be.
    Created,
    /// A commit was made on it.
    Moved,
    /// It was another name before; that one's rows are its history.
    RenamedFrom(Name),
    /// It goes on under another name: this one is free.
    RenamedAway,
    /// It stands here no longer, and can be restored.
    Deleted,
    Restored,
    Protected,
}

/// What a name was after a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Number of the commit.
    pub number: u32,
    pub kind: NameKind,
    pub protection: Protection,
    pub created_at: Time,
    /// When it last went to another commit, or went.
    pub moved_at: Time,
    pub note: Option<String>,
}

/// One move: its place in the name's history, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Never before the move before, whatever the clock does.
    pub at: Time,
    /// Among moves of the same time.
    pub seq: u32,
    pub event: Event,
    pub standing: Standing,
}

impl Move {
    /// Whether the name stands for something after this.
    pub fn is_living(&self) -> bool {
        !matches!(self.event, Event::Deleted | Event::RenamedAway)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        let standing = &self.standing;
        out.u8(match self.event {
            Event::Created => 0,
            Event::Moved => 1,
            Event::RenamedFrom(_) => 2,
            Event::RenamedAway => 3,
            Event::Deleted => 4,
            Event::Restored => 5,
            Event::Protected => 6,
        });
        out.u32(standing.number).u8(kind_number(standing.kind)).u8(protection_number(standing.protection));
        out.time(standing.created_at).time(standing.moved_at).optional_text(standing.note.as_deref());
        if let Event::RenamedFrom(before) = &self.event {
            out.text(before.as_str());
        }
        out.0
    }

    /// A move of this time and place among the moves of that time, which its row does not say.
    pub fn decode(at: Time, seq: u32, row: &[u8]) -> Result<Self> {
        let mut from = Reader(row);
        let form = from.u8()?;
        let standing = Standing {
            number: from.u32()?,
            kind: kind(from.u8()?)?,
            protection: protection(from.u8()?)?,
            created_at: from.time()?,
            moved_at: from.time()?,
            note: from.optional(Reader::text)?,
        };
        let event = match form {
            0 => Event::Created,
            1 => Event::Moved,
            2 => Event::RenamedFrom(name(&mut from)?),
            3 => Event::RenamedAway,
            4 => Event::Deleted,
            5 => Event::Restored,
            6 => Event::Protected,
            _ => return Err(damaged("a name has moved in an unknown way")),
        };
        from.end()?;
        Ok(Self { at, seq, event, standing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_reads_back_and_every_truncation_is_an_error() {
        for event in [Event::Created, Event::RenamedFrom(Name::main()), Event::Deleted] {
            let standing = Standing {
                number: 9,
                kind: NameKind::Branch,
                protection: Protection::MergesOnly,
                created_at: Time(-3),
                moved_at: Time(4),
                note: Some("why".into()),
            };
            let whole = Move { at: Time(-5), seq: 6, event, standing };
            let row = whole.encode();
            assert_eq!(Move::decode(Time(-5), 6, &row).unwrap(), whole);
            for len in 0..row.len() {
                assert!(Move::decode(Time(-5), 6, &row[..len]).is_err(), "{len} bytes were accepted");
            }
        }
    }
}
