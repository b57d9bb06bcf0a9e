//! Ids by the digits that they begin with, as people type them.

use crate::error::{Error, Result};
use crate::model::MemoryId;

/// The shortest prefix of an id that is accepted, in hex digits.
pub const DIGITS_MIN: usize = 8;

/// What to say of a prefix that several ids have.
pub fn ambiguous(what: &str, prefix: &str, ids: impl Iterator<Item = String>) -> Error {
    let ids: Vec<String> = ids.map(|id| id.chars().take(12.max(prefix.len() + 4)).collect()).collect();
    Error::ambiguous(format!("{prefix} fits several {what} ({}, …): give more digits", ids.join(", ")))
}

/// The smallest and the largest id with this prefix.
pub fn prefix_range<const N: usize>(prefix: &str, what: &str) -> Result<([u8; N], [u8; N])> {
    let digits: Option<Vec<u8>> =
        prefix.chars().filter(|c| *c != '-').map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| (DIGITS_MIN..=2 * N).contains(&digits.len())).ok_or_else(|| {
        let shown: String = prefix.chars().take(80).collect();
        Error::invalid(format!("`{shown}` is not the beginning of a {what}: give {DIGITS_MIN} to {} hex digits", 2 * N))
    })?;
    let (mut first, mut last) = ([0; N], [0xff; N]);
    for (place, digit) in digits.into_iter().enumerate() {
        let shift = if place % 2 == 0 { 4 } else { 0 };
        first[place / 2] |= digit << shift;
        last[place / 2] &= !(0xf << shift) | digit << shift;
    }
    Ok((first, last))
}

/// How many hex digits two ids begin with alike.
fn shared_digits(a: &[u8; 16], b: &MemoryId) -> u8 {
    match a.iter().zip(b.0).position(|(a, b)| *a != b) {
        None => 32,
        Some(at) => at as u8 * 2 + u8::from(a[at] >> 4 == b.0[at] >> 4),
    }
}

/// The length of the shortest prefix that an id does not share with the ids that stand next to it.
pub fn short_len(id: &MemoryId, neighbours: impl Iterator<Item = MemoryId>) -> u8 {
    let shared = neighbours.map(|other| shared_digits(&other.0, id)).max();
    shared.unwrap_or(0).saturating_add(1).clamp(DIGITS_MIN as u8, 32)
}
