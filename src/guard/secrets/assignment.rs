//! Secrets that only their name gives away: `DB_PASSWORD=…`, `"api_key": "…"`, `password: …`. A name alone is
//! never enough: the value must have the shape of a value, and prose or code about secrets must not have it.

use super::{Found, run, shapes, token_at};

/// How much the name says.
#[derive(Clone, Copy, PartialEq)]
enum Name {
    /// Of a password: nearly any value is one.
    Password,
    /// Of a token or a key: the value must look made by a machine.
    Token,
}

/// What the value is called when it is masked.
fn named(name: Name, key: &str) -> &'static str {
    match name {
        Name::Password => "password",
        Name::Token if key.ends_with("secretaccesskey") => "AWS secret key",
        Name::Token if key.ends_with("token") => "token",
        Name::Token if key.ends_with("apikey") => "API key",
        Name::Token => "secret",
    }
}

/// Names by their last words, without `_`, `-`, `.` and case.
const PASSWORDS: &[&str] = &["password", "passwd", "passphrase", "pwd", "dbpass", "mysqlpwd", "pgpassword"];
const TOKENS: &[&str] = &[
    "token",
    "secret",
    "apikey",
    "secretkey",
    "accesskey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "accountkey",
    "authkey",
    "secretaccesskey",
];
/// Tokens that are no secrets.
const HARMLESS: &[&str] = &["pagetoken", "nexttoken", "synctoken", "continuationtoken", "cancellationtoken"];

pub fn at(text: &str, at: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let key_end = run(bytes, at, 65, |byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if !(3..=64).contains(&(key_end - at)) {
        return None;
    }
    // The sign: spaces and a closing quote may stand before it, spaces and an opening quote behind.
    let key_quote_end = run(bytes, key_end, 2, |byte| b"\\\"'".contains(&byte));
    let sign = run(bytes, key_quote_end, 8, is_blank);
    let sign_end = match (bytes.get(sign)?, bytes.get(sign + 1)) {
        (b'=', Some(b'=')) | (b':', Some(b':' | b'/' | b'?')) => return None,
        (b'=', Some(b'>')) | (b':', Some(b'=')) => sign + 2,
        (b'=' | b':', _) => sign + 1,
        _ => return None,
    };
    let key = &text[at..key_end];
    let plain: String =
        key.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase() as char).collect();
    let name = if PASSWORDS.iter().any(|name| plain.ends_with(name)) {
        Name::Password
    } else if TOKENS.iter().any(|name| plain.ends_with(name)) && !HARMLESS.iter().any(|name| plain.ends_with(name)) {
        Name::Token
    } else {
        return None;
    };
    let blanks_end = run(bytes, sign_end, 8, is_blank);
    // JSON within JSON: `\"password\":\"…\"`.
    let is_escaped = bytes[blanks_end..].starts_with(b"\\\"");
    let value_at = blanks_end + usize::from(is_escaped);
    let quote = bytes.get(value_at).copied().filter(|byte| b"\"'`".contains(byte));
    let start = value_at + usize::from(quote.is_some());
    // A value that names itself is called by that name.
    if let Some(found) = token_at(bytes, start) {
        return Some(found);
    }
    let quote = if is_escaped { Some(b'\\') } else { quote };
    let end = value_end(text, start, quote, VALUE_BYTES_MAX);
    let value = text.get(start..end)?;
    let context = Context {
        is_quoted: quote.is_some_and(|quote| bytes.get(end) == Some(&quote)),
        is_strong: is_strong(text, at, key) && sign_end == blanks_end,
        is_equals: bytes[sign] == b'=' && sign_end == blanks_end && sign == key_end,
        ends_line: text[end..].trim_start_matches([' ', '\t', '\r', ',', ';']).starts_with('\n')
            || text[end..].trim_end_matches([' ', ',', ';']).is_empty(),
    };
    // What was judged by its start is masked to its end.
    is_secret(name, value, &context).then(|| {
        let end = value_end(text, end, quote, usize::MAX);
        Found { start, end, what: named(name, &plain) }
    })
}

struct Context {
    is_quoted: bool,
    /// An environment variable, an option, a field of a connection string.
    is_strong: bool,
    /// `=` with no space around it.
    is_equals: bool,
    ends_line: bool,
}

fn is_secret(name: Name, value: &str, context: &Context) -> bool {
    let bytes = value.as_bytes();
    if value.chars().count() < 4 || is_reference(value) || (is_word(value) && !context.is_strong) {
        return false;
    }
    let has_digit = bytes.iter().any(u8::is_ascii_digit);
    let has_letter = bytes.iter().any(u8::is_ascii_alphabetic);
    let has_sign = bytes.iter().any(|byte| b"!@#$%^&*+?~".contains(byte));
    match name {
        Name::Password if context.is_strong => true,
        Name::Password if context.is_quoted => has_digit || has_sign || !is_identifier(value),
        Name::Password => {
            (context.is_equals || context.ends_line)
                && bytes.len() >= 6
                && has_letter
                && (has_digit || has_sign)
                && !is_code(value)
        }
        Name::Token => {
            let is_hex = bytes.iter().all(u8::is_ascii_hexdigit);
            let has_cases = bytes.iter().any(u8::is_ascii_uppercase) && bytes.iter().any(u8::is_ascii_lowercase);
            let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
            (context.is_quoted || context.is_strong || context.is_equals || context.ends_line)
                && bytes.len() >= 16
                && shapes::is_mixed(bytes)
                && !is_code(value)
                && (has_cases || (is_hex && bytes.len() >= 20) || digits >= 4)
        }
    }
}

/// `$VAR`, `<password>`, `{{ x }}`, `***`, `[masked: …]`, `%(x)s`: it stands for a value.
pub fn is_reference(value: &str) -> bool {
    let first = value.as_bytes().first().copied().unwrap_or(b'<');
    b"$<{[*%(".contains(&first)
        || value.contains("${")
        || value.contains("{{")
        || (b"*xX._-".contains(&first) && value.bytes().all(|byte| byte == first))
}

fn is_word(value: &str) -> bool {
    WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// What stands after `password=` in code and in prose.
const WORDS: &[&str] = &[
    "password",
    "null",
    "none",
    "nil",
    "true",
    "false",
    "undefined",
    "required",
    "optional",
    "string",
    "text",
    "hidden",
    "secret",
    "argon2",
    "argon2i",
    "argon2id",
    "bcrypt",
    "scrypt",
    "pbkdf2",
    "sha256",
    "sha512",
    "sha-256",
    "base64",
    "oauth2",
    "auth0",
    "1password",
    "keychain",
    "keepass2",
    "env",
    "vault",
    "prompt",
];

/// A name, a path of names, or a call: `args.password`, `os.environ["X"]`, `getpass()`.
fn is_code(value: &str) -> bool {
    value.contains(['(', '[', ')']) || value.contains("::") || value.contains("->") || is_path_of_names(value)
}

fn is_identifier(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_') && value.contains('_')
}

/// `self.token2`, `config.api_key`: words joined by dots.
fn is_path_of_names(value: &str) -> bool {
    value.contains('.')
        && value.split('.').all(|part| {
            part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        })
}

/// `DB_PASSWORD=…`, `--password=…`, `…;Password=…`.
fn is_strong(text: &str, at: usize, key: &str) -> bool {
    let before = &text.as_bytes()[..at];
    let is_environment = key.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        && (key.contains('_') || key.len() > 8);
    is_environment || key.starts_with("--") || before.ends_with(b"--") || before.ends_with(b";") || is_in_dsn(text, at)
}

/// Among the other parts of what one connects by: `jdbc:…?user=a&password=b`, `host=h user=u password=p`,
/// `Server=s; Password=p`. Looks back a little only, and no further than the line.
fn is_in_dsn(text: &str, at: usize) -> bool {
    let from = text.floor_char_boundary(at.saturating_sub(160));
    let line = text[from..at].rsplit('\n').next().unwrap_or_default();
    let is_part = |names: &[&str]| {
        let words = line.split([' ', ';', '"', '\'']).map(|word| word.split('=').next().unwrap_or_default());
        words.filter(|word| names.iter().any(|name| word.eq_ignore_ascii_case(name))).count() > 0
    };
    if line.ends_with(['&', '?']) {
        return line.rsplit([' ', '"', '\'']).next().is_some_and(|address| address.contains("://"));
    }
    if line.trim_end().ends_with(';') {
        return is_part(&["server", "host", "hostaddr", "datasource", "uid", "address"])
            || line.contains("Data Source=");
    }
    line.ends_with(' ') && line.contains('=') && is_part(&["host", "hostaddr", "dbname"])
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// By so much of a value it is judged.
const VALUE_BYTES_MAX: usize = 256;

/// Where an unquoted value stops: at a blank, a separator, a quote; a quoted one at its quote or at a blank.
fn value_end(text: &str, start: usize, quote: Option<u8>, bytes_max: usize) -> usize {
    let stops = |c: char| match quote {
        Some(quote) => c == char::from(quote) || c.is_whitespace() || c.is_control(),
        None => c.is_whitespace() || c.is_control() || "\"'`,;&<>|".contains(c) || c > '\u{24f}',
    };
    let rest = text.get(start..).unwrap_or_default();
    let found = rest.char_indices().find(|(at, c)| *at >= bytes_max || stops(*c));
    start + found.map_or(rest.len(), |(at, _)| at)
}
