//! What an agent says of its event: of the JSON on standard input the few fields that we use, under the names that the
//! agents give them. It keeps nothing else of it.

use std::io::Read;

use serde_json::Value;

use crate::error::{Error, Result};

/// A prompt, an id or a folder may be missing: an event says what it has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// Where the agent works.
    pub folder: Option<String>,
    /// The agent's own id of the conversation.
    pub conversation: Option<String>,
    pub prompt: Option<String>,
}

impl Payload {
    /// Reads to the end of the input. An empty input is an event without particulars.
    ///
    /// # Errors
    /// When it is longer than `bytes_max`, or no JSON object.
    pub fn read(mut from: impl Read, bytes_max: u64) -> Result<Self> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map_err(|e| Error::io("read the event", &e))?;
        if bytes.len() as u64 > bytes_max {
            return Err(Error::too_large(format!("the event has more than {} MiB", bytes_max >> 20)));
        }
        // Windows PowerShell puts a mark before what it pipes.
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes).trim_ascii();
        if text.is_empty() {
            return Ok(Self::default());
        }
        let value: Value = serde_json::from_slice(text).map_err(|_| Error::invalid("the event is not JSON"))?;
        if !value.is_object() {
            return Err(Error::invalid("the event is no JSON object"));
        }
        let text = |name: &str| value[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let root = || value["workspace_roots"][0].as_str().map(str::to_owned);
        Ok(Self {
            folder: text("cwd").or_else(root),
            conversation: text("session_id").or_else(|| text("conversation_id")),
            prompt: text("prompt"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Payload> {
        Payload::read(text.as_bytes(), 1000)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn fields_are_found_under_each_agents_names() {
        let claude = r#"{"session_id": "s1", "cwd": "/w", "hook_event_name": "UserPromptSubmit", "prompt": "how?"}"#;
        let expected = Payload { folder: some("/w"), conversation: some("s1"), prompt: some("how?") };
        assert_eq!(read(claude).unwrap(), expected);
        let cursor = r#"{"conversation_id": "c1", "workspace_roots": ["/w", "/v"], "prompt": "how?"}"#;
        let expected = Payload { folder: some("/w"), conversation: some("c1"), prompt: some("how?") };
        assert_eq!(read(cursor).unwrap(), expected);
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_none() {
        assert_eq!(read("").unwrap(), Payload::default());
        assert_eq!(read("\u{feff}{}\r\n").unwrap(), Payload::default());
        assert_eq!(read(r#"{"cwd": 7, "prompt": null, "workspace_roots": []}"#).unwrap(), Payload::default());
    }

    #[test]
    fn garbage_and_floods_are_refused() {
        for text in ["{", "[]", "7", "how do we deploy?", "{\"a\": 1} {"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&format!("{{\"prompt\": \"{}\"}}", "a".repeat(2000))).is_err());
    }
}
