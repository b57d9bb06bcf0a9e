//! What the shim says by itself, when the daemon cannot: JSON-RPC errors to the requests that a line holds.
//! A line is scanned byte by byte for ids, in constant memory; its JSON is neither parsed nor judged.

/// JSON-RPC's code for a request that makes no sense as it stands.
pub const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC's code for a fault on our side.
pub const INTERNAL_ERROR: i32 = -32603;

/// Longer ids are answered with `null`.
const ID_BYTES_MAX: usize = 256;
/// Requests of one batch that are answered one by one.
const IDS_MAX: usize = 64;

/// Who asked something with one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The requests' ids, as they were written.
    pub ids: Vec<Vec<u8>>,
    /// The line was a JSON array.
    pub is_batch: bool,
    /// It held messages that want no answer (notifications, answers to us).
    pub has_others: bool,
}

impl Asked {
    /// By this line.
    pub fn by(line: &[u8]) -> Self {
        let mut scanner = Scanner::default();
        scanner.feed(line);
        scanner.asked()
    }

    /// The one line that answers all of them with an error; `None` when nobody waits for an answer.
    pub fn error(&self, code: i32, message: &str) -> Option<Vec<u8>> {
        let errors: Vec<String> = match &self.ids[..] {
            [] if self.has_others => return None,
            // Not recognisable as anything: say so, to nobody in particular.
            [] => vec![error(b"null", code, message)],
            ids => ids.iter().map(|id| error(id, code, message)).collect(),
        };
        let joined = errors.join(",");
        Some(if self.is_batch { format!("[{joined}]").into_bytes() } else { joined.into_bytes() })
    }
}

fn error(id: &[u8], code: i32, message: &str) -> String {
    let id = std::str::from_utf8(id).ok().filter(|id| is_id(id)).unwrap_or("null");
    let mut text = String::with_capacity(message.len() + 16);
    for c in message.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            c if c.is_control() => text.push(' '),
            c => text.push(c),
        }
    }
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{text}"}}}}"#)
}

/// What was copied from a line must not break ours.
fn is_id(id: &str) -> bool {
    if let Some(text) = id.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        let mut escaped = false;
        return text.chars().all(|c| {
            let fits = if escaped { "\"\\/bfnrt".contains(c) } else { c != '"' && !c.is_control() };
            escaped = c == '\\' && !escaped;
            fits
        }) && !escaped;
    }
    let digits = id.strip_prefix('-').unwrap_or(id);
    let is_whole = digits == "0" || (digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0'));
    !digits.is_empty() && is_whole
}

/// Finds the top-level `id`s of a message, or of each message of a batch.
#[derive(Default)]
pub struct Scanner {
    asked: Asked,
    depth: u32,
    in_string: bool,
    is_escaped: bool,
    /// Inside a message's own object: the next string is a key.
    at_key: bool,
    in_message: bool,
    key: Vec<u8>,
    id: Vec<u8>,
    has_method: bool,
}

impl Scanner {
    /// More of the line.
    pub fn feed(&mut self, part: &[u8]) {
        for byte in part {
            self.take(*byte);
        }
    }

    /// What was found in all of it.
    pub fn asked(self) -> Asked {
        self.asked
    }

    /// In the object of a message itself, not in something that it contains.
    fn is_on_top(&self) -> bool {
        self.in_message && self.depth == 1 + u32::from(self.asked.is_batch)
    }

    fn take(&mut self, byte: u8) {
        if self.in_string {
            return self.take_of_string(byte);
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.keep(byte);
            }
            b'{' | b'[' => {
                let level = u32::from(self.asked.is_batch);
                if byte == b'[' && self.depth == 0 {
                    self.asked.is_batch = true;
                } else if byte == b'{' && self.depth == level {
                    (self.in_message, self.at_key, self.has_method) = (true, true, false);
                    self.key.clear();
                    self.id.clear();
                }
                self.depth = self.depth.saturating_add(1);
            }
            b'}' | b']' => {
                if self.is_on_top() && byte == b'}' {
                    self.end_message();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            b':' if self.is_on_top() => self.at_key = false,
            b',' if self.is_on_top() => {
                self.at_key = true;
                self.key.clear();
            }
            b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E' => self.keep(byte),
            _ => {}
        }
    }

    fn take_of_string(&mut self, byte: u8) {
        self.keep(byte);
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = true,
            b'"' => {
                self.in_string = false;
                if self.is_on_top() && self.at_key && self.key == b"\"method\"" {
                    self.has_method = true;
                }
            }
            _ => {}
        }
    }

    /// Keys and ids are kept; all else is passed over.
    fn keep(&mut self, byte: u8) {
        if !self.is_on_top() {
            return;
        }
        let kept = match (self.at_key, &self.key[..]) {
            (true, _) => &mut self.key,
            (false, b"\"id\"") => &mut self.id,
            _ => return,
        };
        if kept.len() <= ID_BYTES_MAX {
            kept.push(byte);
        }
    }

    fn end_message(&mut self) {
        self.in_message = false;
        if self.has_method && !self.id.is_empty() && self.asked.ids.len() < IDS_MAX {
            self.asked.ids.push(std::mem::take(&mut self.id));
        } else {
            self.asked.has_others = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(line: &str) -> Vec<String> {
        Asked::by(line.as_bytes()).ids.into_iter().map(|id| String::from_utf8(id).unwrap()).collect()
    }

    #[test]
    fn ids_are_found_wherever_they_stand() {
        assert_eq!(ids(r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#), ["7"]);
        assert_eq!(
            ids(r#"{"method":"m","params":{"id":1,"a":[{"id":2}],"s":"}],\"id\":3"}, "id" : "x\"y" }"#),
            [r#""x\"y""#]
        );
        assert_eq!(ids(r#"[{"id":1,"method":"a"},{"method":"b"},{"id":"c","method":"c"}]"#), ["1", "\"c\""]);
    }

    #[test]
    fn what_wants_no_answer_has_no_id() {
        assert!(ids(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).is_empty());
        assert!(ids(r#"{"jsonrpc":"2.0","id":7,"result":{"method":"no"}}"#).is_empty());
        assert!(ids(r#"{"id":null,"method":"m"}"#).is_empty());
        assert!(ids(r#"{"key":"id","method":"m"}"#).is_empty());
        assert_eq!(Asked::by(br#"{"method":"m"}"#).error(-1, "x"), None);
    }

    #[test]
    fn errors_are_json_whatever_the_line_was() {
        let said = |line: &[u8]| String::from_utf8(Asked::by(line).error(-32603, "no \"way\"\n").unwrap()).unwrap();
        let error =
            |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":"no \"way\" "}}}}"#);
        assert_eq!(said(br#"{"id":7,"method":"m"}"#), error("7"));
        assert_eq!(said(br#"[{"id":7,"method":"m"}]"#), format!("[{}]", error("7")));
        assert_eq!(said(b"garbage"), error("null"));
        for id in ["1.5e+", "--1", "01", "-", "\"\u{1}\"", "\"\\u12\"", "\"\\q\""] {
            assert_eq!(said(format!(r#"{{"id":{id},"method":"m"}}"#).as_bytes()), error("null"), "{id}");
        }
        let long = format!(r#"{{"id":"{}","method":"m"}}"#, "x".repeat(1000));
        assert_eq!(said(long.as_bytes()), error("null"));
    }

    proptest::proptest! {
        #[test]
        fn every_error_parses_as_json(line in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            if let Some(said) = Asked::by(&line).error(INTERNAL_ERROR, &String::from_utf8_lossy(&line)) {
                serde_json::from_slice::<serde_json::Value>(&said).unwrap();
            }
        }

        #[test]
        fn ids_of_any_message_are_found(
            id in proptest::prelude::any::<i64>(), text in ".{0,40}", nested in proptest::prelude::any::<u8>()
        ) {
            let message = serde_json::json!({
                "params": { "id": nested, "text": text, "list": [{ "id": nested }, [text]] }, "id": id, "method": text,
            });
            proptest::prop_assert_eq!(ids(&message.to_string()), [id.to_string()]);
        }
    }
}
