//! Moves of names as redb has them: keys in the order of names, then of time.

use redb::ReadableTable;

use super::damaged;
use crate::engine::history::rows::Move;
use crate::error::Result;
use crate::model::{Name, Time};

/// A name's moves stand in order of time, then of `seq`. No name holds a zero byte.
pub fn move_key(name: &Name, at: Time, seq: u32) -> Vec<u8> {
    let mut key = [name.as_str().as_bytes(), &[0]].concat();
    key.extend_from_slice(&(at.0 as u64 ^ 1 << 63).to_be_bytes());
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

/// One row: whose move it is, and the move.
pub fn move_of(key: &[u8], row: &[u8]) -> Result<(Name, Move)> {
    let (name, at, seq) = unkey(key)?;
    Ok((name, Move::decode(at, seq, row)?))
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
    row.map(|(key, row)| Ok(move_of(key.value(), row.value())?.1)).transpose()
}

/// The first move of a name after a time.
pub fn next_move(
    names: &impl ReadableTable<&'static [u8], &'static [u8]>,
    name: &Name,
    after: Time,
) -> Result<Option<Move>> {
    let (first, last) = (move_key(name, after.plus_ms(1), 0), move_key(name, Time::MAX, u32::MAX));
    let row = names.range(first.as_slice()..=last.as_slice())?.next().transpose()?;
    row.map(|(key, row)| Ok(move_of(key.value(), row.value())?.1)).transpose()
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
    fn moves_stand_in_the_order_of_time_whatever_the_names_begin_with() {
        let key = |name: &str, at: i64, seq| move_key(&name.parse().unwrap(), Time(at), seq);
        let sorted =
            [key("a", -1, 9), key("a", 0, 0), key("a", 0, 1), key("a", 1, 0), key("a-b", -9, 0), key("ab", 0, 0)];
        assert!(sorted.is_sorted());
    }
}
