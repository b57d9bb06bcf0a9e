//! The one redactor: finds secrets by their shape and puts `[masked: what it was]` in their place, before
//! anything is hashed, indexed, logged or written. Linear in the length of the text: every look ahead is bounded.
//! It never guesses by entropy alone; a line about passwords is not a password.

use std::borrow::Cow;

mod assignment;
mod dsn;
mod shapes;
#[cfg(test)]
mod tests;

/// A secret's place in the text, in bytes.
struct Found {
    start: usize,
    end: usize,
    what: &'static str,
}

/// A placeholder that stands for a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What the secret looked like.
    pub what: &'static str,
    /// Where its `[` is in the masked text, in bytes.
    pub at: usize,
}

/// Each pass but the first is over what the one before made.
const PASSES_MAX: usize = 8;

/// The text without its secrets, and where the placeholders stand in it, in order. Masking twice changes nothing.
pub fn mask(text: &str) -> (Cow<'_, str>, Vec<Mark>) {
    let (mut clean, mut marks) = pass(text, &[]);
    // What stood right beside a secret may be seen to be one only when that is gone.
    for _ in 1..PASSES_MAX {
        if marks.is_empty() {
            break;
        }
        let (again, more) = pass(&clean, &marks);
        let Cow::Owned(again) = again else { break };
        (clean, marks) = (Cow::Owned(again), more);
    }
    (clean, marks)
}

/// One look over a text in which `known` placeholders stand: borrowed where nothing new was found.
fn pass<'a>(text: &'a str, known: &[Mark]) -> (Cow<'a, str>, Vec<Mark>) {
    let mut out = String::new();
    let mut marks: Vec<Mark> = Vec::with_capacity(known.len());
    let mut known = known.iter().peekable();
    let (mut kept_from, mut at) = (0, 0);
    let mut is_new = false;
    while at < text.len() {
        let Some(found) = starts_word(text.as_bytes(), at).then(|| secret_at(text, at)).flatten() else {
            at += 1;
            continue;
        };
        while let Some(mark) = known.next_if(|mark| mark.at < found.start) {
            marks.push(Mark { at: out.len() + mark.at - kept_from, ..*mark });
        }
        // Those within what goes now go with it.
        while known.next_if(|mark| mark.at < found.end).is_some() {}
        out.push_str(&text[kept_from..found.start]);
        marks.push(Mark { what: found.what, at: out.len() });
        out.push_str("[masked: ");
        out.push_str(found.what);
        out.push(']');
        (kept_from, at, is_new) = (found.end, found.end, true);
    }
    if !is_new {
        return (Cow::Borrowed(text), marks);
    }
    marks.extend(known.map(|mark| Mark { at: out.len() + mark.at - kept_from, ..*mark }));
    out.push_str(&text[kept_from..]);
    (Cow::Owned(out), marks)
}

/// Secrets start where a word does, also after an escaped line break (`\n` in a JSON text).
fn starts_word(bytes: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|index| bytes[index]);
    bytes[at].is_ascii_graphic()
        && match before(1) {
            None => true,
            Some(b'n' | b'r' | b't') if before(2) == Some(b'\\') => true,
            Some(byte) => !byte.is_ascii_alphanumeric() && byte != b'_',
        }
}

fn secret_at(text: &str, at: usize) -> Option<Found> {
    let first = text.as_bytes()[at];
    if first == b'-' {
        return private_key(text, at).or_else(|| dsn::curl_user(text, at));
    }
    if !first.is_ascii_alphanumeric() && first != b'_' {
        return None;
    }
    token_at(text.as_bytes(), at)
        .or_else(|| authorization(text, at))
        .or_else(|| password_in_url(text, at))
        .or_else(|| dsn::at(text, at))
        .or_else(|| assignment::at(text, at))
}

/// A token that names itself.
fn token_at(bytes: &[u8], at: usize) -> Option<Found> {
    if at == bytes.len() {
        return None;
    }
    shapes::at(bytes, at).or_else(|| json_web_token(bytes, at))
}

/// The end of the longest run of bytes that fit, from `at`, at most `bytes_max` long.
fn run(bytes: &[u8], at: usize, bytes_max: usize, fits: impl Fn(u8) -> bool) -> usize {
    let window = &bytes[at.min(bytes.len())..];
    at + window.iter().take(bytes_max).take_while(|byte| fits(**byte)).count()
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// `text[at..]` starts with this ASCII word, whatever the case.
fn starts_with_word(text: &str, at: usize, word: &str) -> bool {
    text.as_bytes().get(at..at + word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
}

/// Header and claims are JSON objects, so both parts start with `eyJ`.
fn json_web_token(bytes: &[u8], at: usize) -> Option<Found> {
    let rest = &bytes[at..];
    if !rest.starts_with(b"eyJ") {
        return None;
    }
    let claims = run(bytes, at, 1024, is_base64url) + 1;
    if bytes.get(claims - 1) != Some(&b'.') || !bytes[claims..].starts_with(b"eyJ") {
        return None;
    }
    let signature = run(bytes, claims, usize::MAX, is_base64url) + 1;
    if bytes.get(signature - 1) != Some(&b'.') {
        return None;
    }
    let end = run(bytes, signature, usize::MAX, is_base64url);
    (end - signature >= 16).then_some(Found { start: at, end, what: "JSON web token" })
}

/// `Authorization: Bearer …`, `"authorization": "Basic …"`, and `Bearer …` alone when what follows is no word.
fn authorization(text: &str, at: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let mut scheme = at;
    let in_header = starts_with_word(text, at, "authorization");
    if in_header {
        scheme = run(bytes, at + 13, 8, |byte| b"\"' \t:=".contains(&byte));
    }
    let word = ["bearer", "basic", "token"].into_iter().find(|word| starts_with_word(text, scheme, word))?;
    let start = run(bytes, scheme + word.len(), 8, |byte| byte == b' ' || byte == b'\t');
    if start == scheme + word.len() {
        return None;
    }
    if let Some(found) = token_at(bytes, start) {
        return Some(found);
    }
    let end = run(bytes, start, usize::MAX, |byte| byte.is_ascii_alphanumeric() || b"._~+/=-".contains(&byte));
    let credential = &bytes[start..end];
    let is_secret = match word {
        "basic" => in_header && is_user_and_password(credential),
        _ if in_header => credential.len() >= 8 && shapes::is_mixed(credential),
        "bearer" => credential.len() >= 20 && shapes::is_mixed(credential),
        _ => false,
    };
    is_secret.then_some(Found { start, end, what: "authorization header" })
}

/// Base64 of printable text with a colon in it.
fn is_user_and_password(base64: &[u8]) -> bool {
    let (mut bits, mut count, mut has_colon) = (0u32, 0, false);
    if base64.len() < 4 || base64.len() > 4096 {
        return false;
    }
    for byte in base64.iter().take_while(|byte| **byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return false,
        };
        (bits, count) = (bits << 6 | u32::from(six), count + 6);
        if count >= 8 {
            count -= 8;
            let decoded = (bits >> count & 0xff) as u8;
            has_colon |= decoded == b':';
            if decoded < b' ' {
                return false;
            }
        }
    }
    has_colon
}

/// `scheme://user:password@host`: only the password.
fn password_in_url(text: &str, at: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let scheme_end = run(bytes, at, 32, |byte| byte.is_ascii_alphanumeric() || b"+.-_".contains(&byte));
    if !bytes[scheme_end..].starts_with(b"://") {
        return None;
    }
    let authority = scheme_end + 3;
    let ends = |byte: u8| byte <= b' ' || b"\"'`<>\\|".contains(&byte);
    let all = run(bytes, authority, 512, |byte| !ends(byte));
    let host_end = run(bytes, authority, 512, |byte| !ends(byte) && !b"/?#".contains(&byte));
    let colon = authority + bytes[authority..host_end].iter().position(|byte| *byte == b':')?;
    // A password that holds a slash reaches beyond what looks like the host; a port is not one.
    let after_colon = &bytes[colon + 1..host_end];
    let end = match bytes[colon..host_end].iter().rposition(|byte| *byte == b'@') {
        Some(back) => colon + back,
        None if !after_colon.is_empty() && after_colon.iter().all(u8::is_ascii_digit) => return None,
        None => colon + bytes[colon..all].iter().position(|byte| *byte == b'@')?,
    };
    let password = text.get(colon + 1..end)?;
    // `user:password@host` is how documents write it.
    let is_form = text[authority..colon].to_ascii_lowercase().starts_with("user")
        && password.to_ascii_lowercase().starts_with("pass");
    let is_secret = !password.is_empty() && !is_form && !assignment::is_reference(password);
    is_secret.then_some(Found { start: colon + 1, end, what: "password in a URL" })
}

/// Longest distance from `BEGIN` to `END`: a 16,384-bit RSA key, encrypted, has about 13,000 bytes.
const KEY_BYTES_MAX: usize = 20 * 1024;

/// A PEM or PGP private key from its first dash to its last; without an end, as far as it looks like one.
fn private_key(text: &str, at: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    // PEM's five dashes, and SSH2's four with a space.
    let begin = ["-----BEGIN ", "---- BEGIN "].into_iter().find(|begin| text[at..].starts_with(begin))?;
    let dashes = begin.trim_end_matches("BEGIN ");
    let label_at = at + begin.len();
    let is_label = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
    let label_end = run(bytes, label_at, 64, is_label);
    let label = text[label_at..label_end].trim_end();
    if !(label.ends_with("PRIVATE KEY") || label.ends_with("PRIVATE KEY BLOCK")) {
        return None;
    }
    let body = run(bytes, label_end, 5, |byte| byte == b'-');
    let window = &text[body..text.floor_char_boundary(body + KEY_BYTES_MAX)];
    let end_mark = format!("{dashes}END {label}");
    let end = match window.find(&end_mark) {
        Some(offset) => run(bytes, body + offset + end_mark.len(), 5, |byte| byte == b'-' || byte == b' '),
        None => Some(key_lines_end(text, body)).filter(|end| *end > body)?,
    };
    Some(Found { start: at, end, what: "private key" })
}

/// The end of the lines of base64 (and of PEM's own headers) that follow, line breaks escaped or not.
fn key_lines_end(text: &str, body: usize) -> usize {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=\\".contains(&byte);
    let (mut end, mut line_start) = (body, body);
    for line in text[body..].split_inclusive('\n') {
        let content = line.trim_end();
        let base64 = content.bytes().take_while(|byte| is_base64(*byte)).count();
        // A backslash at the end belongs to what follows: to the quote that ends a string of JSON.
        let base64 = content[..base64].trim_end_matches('\\').len();
        let is_header =
            ["Proc-Type:", "DEK-Info:", "Version:", "Comment:"].iter().any(|name| content.starts_with(name));
        // A short word may be prose again, unless it is padded as an end is.
        if base64 >= 16 || content[..base64].ends_with('=') {
            end = line_start + base64;
        } else if is_header {
            end = line_start + content.len();
        } else if !content.is_empty() {
            break;
        }
        if base64 < content.len() && !is_header {
            break;
        }
        line_start += line.len();
    }
    end
}
