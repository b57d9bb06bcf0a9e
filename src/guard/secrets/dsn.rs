//! Passwords in what databases and programs are told to connect by, where no `scheme://` says so: Go's and Oracle's
//! forms, SAS signatures, and `curl -u`. It takes the password alone, never the host or the user.

use super::assignment::is_reference;
use super::{Found, run};

/// A user's name before its password.
fn user(bytes: &[u8], at: usize) -> usize {
    run(bytes, at, 64, |byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// The password from `start` to the first of these ends within 128 bytes, if it is one.
fn password(text: &str, start: usize, ends: &[&str]) -> Option<Found> {
    let bytes = text.as_bytes();
    let window = run(bytes, start, 128, |byte| byte > b' ' && !b"\"'`<>".contains(&byte));
    let window = text.get(start..text.floor_char_boundary(window))?;
    let end = ends.iter().filter_map(|end| window.find(end)).min()?;
    let is_secret = end > 0 && !is_reference(&window[..end]);
    is_secret.then_some(Found { start, end: start + end, what: "password in a DSN" })
}

/// `user:password@tcp(host)/db`, `jdbc:oracle:thin:user/password@host`, `…&sig=…`.
pub fn at(text: &str, at: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    if text[at..].starts_with("sig=") {
        return signature(text, at);
    }
    if let Some(rest) = text[at..].strip_prefix("jdbc:oracle:") {
        let kind = rest.find(':').filter(|len| *len <= 8)?;
        let slash = user(bytes, at + "jdbc:oracle:".len() + kind + 1);
        return (bytes.get(slash) == Some(&b'/')).then(|| password(text, slash + 1, &["@"])).flatten();
    }
    let colon = user(bytes, at);
    if bytes.get(colon) != Some(&b':') || colon == at {
        return None;
    }
    password(text, colon + 1, &["@tcp(", "@unix(", "@tcp6("])
}

/// Of an Azure SAS: 32 bytes in base64, its signs written as percents or not, behind another parameter.
fn signature(text: &str, at: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let start = at + 4;
    let end = run(bytes, start, 80, |byte| byte.is_ascii_alphanumeric() || b"+/=%".contains(&byte));
    let is_behind = at > 0 && b"&?;".contains(&bytes[at - 1]);
    (is_behind && (43..=70).contains(&(end - start))).then_some(Found { start, end, what: "Azure SAS signature" })
}

/// `curl … -u user:password`, `--user user:password`.
pub fn curl_user(text: &str, at: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let option = ["-u", "--user"].into_iter().find(|option| {
        text[at..].starts_with(option) && bytes.get(at + option.len()).is_some_and(|byte| b" =".contains(byte))
    })?;
    // Other programs have a `-u`, too.
    let line_start = text.floor_char_boundary(at.saturating_sub(256));
    if !text[line_start..at].rsplit('\n').next()?.contains("curl") {
        return None;
    }
    let name = run(bytes, at + option.len() + 1, 1, |byte| b"\"'".contains(&byte));
    let colon = user(bytes, name);
    let colon = run(bytes, colon, 64, |byte| byte == b'@' || byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if bytes.get(colon) != Some(&b':') {
        return None;
    }
    let end = run(bytes, colon + 1, 128, |byte| byte > b' ' && !b"\"'`".contains(&byte));
    let value = text.get(colon + 1..end)?;
    (!value.is_empty() && !is_reference(value)).then_some(Found { start: colon + 1, end, what: "password in a DSN" })
}
