//! SentencePiece's `precompiled_charsmap`: which letters are written as which others (NFKC and more), as a double-array
//! trie over bytes (darts-clone), and the replacements one after the other, each ended by a zero byte.
//!
//! A mark on a letter that is replaced is kept, as SentencePiece does; the `tokenizers` library loses it.

/// A decoded map.
pub struct Charsmap {
    trie: Vec<u32>,
    replacements: Vec<u8>,
}

impl Charsmap {
    /// From base64: the length of the trie in bytes (u32, little-endian), the trie, the replacements.
    pub fn new(encoded: &str) -> Result<Self, String> {
        let broken = || "the map of its letters is broken".to_owned();
        let bytes = from_base64(encoded).ok_or_else(broken)?;
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(broken)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (trie, replacements) = rest.split_at_checked(length).ok_or_else(broken)?;
        let (units, odd) = trie.as_chunks::<4>();
        if !odd.is_empty() || units.is_empty() || std::str::from_utf8(replacements).is_err() {
            return Err(broken());
        }
        let trie = units.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        Ok(Self { trie, replacements: replacements.to_vec() })
    }

    /// The text with everything replaced that the map knows; at each place the longest that it knows.
    pub fn applied(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            match self.longest(rest.as_bytes()) {
                Some((bytes, replacement)) if rest.is_char_boundary(bytes) => {
                    out.push_str(replacement);
                    rest = &rest[bytes..];
                }
                _ => {
                    out.push(letter);
                    rest = &rest[letter.len_utf8()..];
                }
            }
        }
        out
    }

    /// How many bytes are replaced, and by what.
    fn longest(&self, text: &[u8]) -> Option<(usize, &str)> {
        let unit = |place: usize| self.trie.get(place).copied();
        let mut place = offset(unit(0)?);
        let mut found = None;
        for (at, byte) in text.iter().enumerate().take_while(|(_, byte)| **byte != 0) {
            place ^= usize::from(*byte);
            let Some(here) = unit(place).filter(|here| here & 0x8000_00ff == u32::from(*byte)) else { break };
            place ^= offset(here);
            if here >> 8 & 1 == 1 {
                found = unit(place).map(|leaf| (at + 1, (leaf & 0x7fff_ffff) as usize));
            }
        }
        let (bytes, start) = found?;
        let replacement = self.replacements.get(start..)?.split(|byte| *byte == 0).next()?;
        Some((bytes, std::str::from_utf8(replacement).ok()?))
    }
}

fn offset(unit: u32) -> usize {
    (unit >> 10 << ((unit & 0x200) >> 6)) as usize
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}
