//! Text to rows of the table: runs of ASCII letters and digits; each as a whole if the table has it (`javascript`,
//! `k8s`), else its parts by case and digits (`HTTPServer2`), each cut into the longest pieces that the table has.
//! Numbers and other scripts are passed over. `scripts/builtin-table` cuts the same way. Not `wordpiece`, which knows
//! no identifiers and needs its vocabulary's texts: hashes take half the room and are found at once.

use super::super::wordpiece;
use super::table::Table;

/// Letters of a piece at most.
const PIECE_BYTES_MAX: usize = 24;
/// What is longer is a blob or a key, not a name.
const RUN_BYTES_MAX: usize = 64;

/// Calls `emit` with every run, in its case (what had an accent is in lower case).
pub fn each(text: &str, mut emit: impl FnMut(&str)) {
    let (mut run, mut plain) = (String::new(), String::new());
    let mut end = |run: &mut String| {
        if (1..=RUN_BYTES_MAX).contains(&run.len()) {
            emit(run);
        }
        run.clear();
    };
    for letter in text.chars() {
        match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' => run.push(letter),
            // `don't` is one word.
            '\'' | '\u{2019}' => {}
            _ if letter.is_ascii() => end(&mut run),
            '\u{300}'..='\u{36f}' => {}
            _ => {
                plain.clear();
                wordpiece::push(letter, &mut plain);
                match plain.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    true => run.push_str(&plain),
                    false => end(&mut run),
                }
            }
        }
    }
    end(&mut run);
}

/// Calls `add` with the rows of a run.
pub fn rows(table: &Table<'_>, run: &str, mut add: impl FnMut(usize)) {
    if let Some(row) = table.find(finished(hashed(WHOLE, run.as_bytes()))) {
        return add(row);
    }
    parts(run.as_bytes(), |part| {
        let mut start = 0;
        while start < part.len() {
            let (bytes, row) = longest(table, part, start);
            row.into_iter().for_each(&mut add);
            start += bytes;
        }
    });
}

/// The words of an identifier: `[A-Z]+(?![a-z])|[A-Z]?[a-z]+`, without its digits.
fn parts(run: &[u8], mut emit: impl FnMut(&[u8])) {
    let count = |from: usize, is_in: fn(&u8) -> bool| run[from..].iter().take_while(|byte| is_in(byte)).count();
    let mut start = 0;
    while start < run.len() {
        let upper = count(start, u8::is_ascii_uppercase);
        let lower = count(start + upper, u8::is_ascii_lowercase);
        let bytes = match (upper, lower) {
            (0, 0) => {
                start += 1;
                continue;
            }
            (0 | 1, _) | (_, 0) => upper + lower,
            // The last capital begins the next word.
            _ => upper - 1,
        };
        emit(&run[start..start + bytes]);
        start += bytes;
    }
}

/// How many bytes from `start` the longest piece takes, and its row. The table has a row for every letter; were one
/// missing, the letter would be passed over.
fn longest(table: &Table<'_>, part: &[u8], start: usize) -> (usize, Option<usize>) {
    let end = part.len().min(start + PIECE_BYTES_MAX);
    let mut hashes = [0u64; PIECE_BYTES_MAX];
    let mut hash = if start == 0 { WHOLE } else { hashed(WHOLE, b"##") };
    for (slot, byte) in hashes.iter_mut().zip(&part[start..end]) {
        hash = hashed(hash, &[*byte]);
        *slot = hash;
    }
    (1..=end - start)
        .rev()
        .find_map(|bytes| Some((bytes, Some(table.find(finished(hashes[bytes - 1]))?))))
        .unwrap_or((1, None))
}

/// FNV-1a's start.
const WHOLE: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a of 64 bits over the letters in lower case.
fn hashed(from: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(from, step)
}

/// MurmurHash3's last mixing (A. Appleby): the first bits are as good as the last.
fn finished(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        each(text, |run| found.push(run.to_owned()));
        found
    }

    #[test]
    fn runs_are_latin_letters_and_digits_without_accents() {
        assert_eq!(runs("Don't use k8s, naïve E\u{301}cole!"), ["Dont", "use", "k8s", "naive", "Ecole"]);
        assert_eq!(runs("用redis缓存 привет"), ["redis"]);
        assert!(runs(&"A".repeat(RUN_BYTES_MAX + 1)).is_empty());
    }

    #[test]
    fn identifiers_part_at_case_and_digits() {
        let parts = |run: &str| {
            let mut found = Vec::new();
            super::parts(run.as_bytes(), |part| found.push(String::from_utf8(part.to_vec()).unwrap()));
            found
        };
        assert_eq!(parts("HTTPServer2"), ["HTTP", "Server"]);
        assert_eq!(parts("parseJSON"), ["parse", "JSON"]);
        assert_eq!(parts("x86word"), ["x", "word"]);
        assert!(parts("2026").is_empty());
    }
}
