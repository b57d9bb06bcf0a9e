//! The rows of names: each move that a name made, the last of which says where it stands. It knows bytes; what may
//! become of a name is `names.rs`'s.

use redb::ReadableTable;

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

    pub fn key(&self, name: &Name) -> Vec<u8> {
        move_key(name, self.at, self.seq)
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

    pub fn decode(key: &[u8], row: &[u8]) -> Result<(Name, Self)> {
        let (of, at, seq) = unkey(key)?;
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
        Ok((of, Self { at, seq, event, standing }))
    }
}

/// A name's moves stand in order of time, then of `seq`. No name holds a zero byte.
pub fn move_key(name: &Name, at: Time, seq: u32) -> Vec<u8> {
    let mut key = [name.as_str().as_bytes(), &[0]].concat();
    key.extend_from_slice(&(at.0 as u64 ^ 1 << 63).to_be_bytes());
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

fn unkey(key: &[u8]) -> Result<(Name, Time, u32)> {
    let lost = || damaged("a name's history cannot be read");
    let (name, rest) = key.split_at_checked(key.len().saturating_sub(13)).ok_or_else(lost)?;
    let name = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).ok_or_else(lost)?;
    let [0, at @ .., a, b, c, d] = rest else { return Err(lost()) };
    let at: [u8; 8] = at.try_into().map_err(|_| lost())?;
    Ok((name, Time((u64::from_be_bytes(at) ^ 1 << 63) as i64), u32::from_be_bytes([*a, *b, *c, *d])))
}

/// The last move of a name up to a time.
pub fn last_move(
    names: &impl ReadableTable<&'static [u8], &'static [u8]>,
    name: &Name,
    until: Time,
) -> Result<Option<Move>> {
    let (first, last) = (move_key(name, Time::MIN, 0), move_key(name, until, u32::MAX));
    let row = names.range(first.as_slice()..=last.as_slice())?.next_back().transpose()?;
    row.map(|(key, row)| Ok(Move::decode(key.value(), row.value())?.1)).transpose()
}

/// The first move of a name after a time.
pub fn next_move(
    names: &impl ReadableTable<&'static [u8], &'static [u8]>,
    name: &Name,
    after: Time,
) -> Result<Option<Move>> {
    let (first, last) = (move_key(name, after.plus_ms(1), 0), move_key(name, Time::MAX, u32::MAX));
    let row = names.range(first.as_slice()..=last.as_slice())?.next().transpose()?;
    row.map(|(key, row)| Ok(Move::decode(key.value(), row.value())?.1)).transpose()
}

/// Every name that ever was, by name, with its last move: one look-up for each, whatever the length of its history.
pub fn every_name(names: &impl ReadableTable<&'static [u8], &'static [u8]>) -> Result<Vec<(Name, Move)>> {
    let mut found: Vec<(Name, Move)> = Vec::new();
    let mut start = Vec::new();
    while let Some(row) = names.range(start.as_slice()..)?.next().transpose()? {
        let (name, _, _) = unkey(row.0.value())?;
        let last = last_move(names, &name, Time::MAX)?.ok_or_else(|| damaged("a name's history cannot be read"))?;
        // 1 comes after the 0 behind a name, and before whatever a longer name goes on with.
        start = [name.as_str().as_bytes(), &[1]].concat();
        found.push((name, last));
    }
    Ok(found)
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
            let (name, whole): (Name, _) = ("a/b".parse().unwrap(), Move { at: Time(-5), seq: 6, event, standing });
            let (key, row) = (whole.key(&name), whole.encode());
            assert_eq!(Move::decode(&key, &row).unwrap(), (name, whole));
            for len in 0..row.len() {
                assert!(Move::decode(&key, &row[..len]).is_err(), "{len} bytes were accepted");
            }
        }
    }

    #[test]
    fn moves_stand_in_the_order_of_time_whatever_the_names_begin_with() {
        let key = |name: &str, at: i64, seq| move_key(&name.parse().unwrap(), Time(at), seq);
        let sorted =
            [key("a", -1, 9), key("a", 0, 0), key("a", 0, 1), key("a", 1, 0), key("a-b", -9, 0), key("ab", 0, 0)];
        assert!(sorted.is_sorted());
    }
}
