//! Each agent's form of an answer: which of its events carries words to the model, and in which JSON. A row for each
//! agent that has hooks, with the page that says so and the day on which it was read.

use serde_json::json;

pub use crate::agents::ours::Event;
use crate::error::{Error, Result};

/// How an agent is answered.
#[derive(Debug)]
pub struct Protocol {
    /// As `memoria init` names it.
    pub agent: &'static str,
    /// At the beginning of a session, and beside a prompt. Nothing is said at the other events: no agent has a place
    /// for it there that its model would see.
    session_start: Form,
    prompt: Form,
}

/// In which form words go to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Not at all.
    Silent,
    /// `{"hookSpecificOutput": {"hookEventName": …, "additionalContext": …}}`, with this name of the event.
    Specific(&'static str),
    /// `{"additional_context": …}`.
    Additional,
    /// As it is.
    Plain,
}

const PROTOCOLS: &[Protocol] = &[
    // https://code.claude.com/docs/en/hooks, 2026-11-23: both events take `additionalContext`; PreCompact and
    // SessionEnd take none (a reply with it is refused as invalid). After a compaction SessionStart comes again
    // (source `compact`).
    Protocol {
        agent: "claude-code",
        session_start: Form::Specific("SessionStart"),
        prompt: Form::Specific("UserPromptSubmit"),
    },
    // https://geminicli.com/docs/hooks/reference (docs/hooks/reference.md at 5411f113), 2026-11-23: nothing but JSON
    // may stand on stdout; PreCompress and SessionEnd are advisory and carry no context.
    Protocol { agent: "gemini", session_start: Form::Specific("SessionStart"), prompt: Form::Specific("BeforeAgent") },
    // https://developers.openai.com/codex/hooks and codex-rs/hooks/schema/generated, 2026-11-23: unknown fields are
    // refused; PreCompact and SessionEnd carry no context.
    Protocol {
        agent: "codex",
        session_start: Form::Specific("SessionStart"),
        prompt: Form::Specific("UserPromptSubmit"),
    },
    // https://cursor.com/docs/agent/hooks, 2026-11-23: `beforeSubmitPrompt` can refuse a prompt and add nothing to
    // it.
    Protocol { agent: "cursor", session_start: Form::Additional, prompt: Form::Silent },
    // https://kiro.dev/docs/cli/hooks and https://kiro.dev/docs/cli/v3/hooks, 2026-11-23: what stands on stdout is
    // added to the context.
    Protocol { agent: "kiro", session_start: Form::Plain, prompt: Form::Plain },
];

impl Protocol {
    pub fn of(agent: &str) -> Result<&'static Self> {
        let known = PROTOCOLS.iter().find(|known| known.agent == agent);
        known.ok_or_else(|| Error::invalid("this agent has no hooks that we know of"))
    }

    fn form(&self, event: Event) -> Form {
        match event {
            Event::SessionStart => self.session_start,
            Event::Prompt => self.prompt,
            Event::PreCompact | Event::SessionEnd => Form::Silent,
        }
    }

    /// Whether words said at this event reach the model.
    pub fn hears(&self, event: Event) -> bool {
        self.form(event) != Form::Silent
    }

    /// The bytes for stdout; `None` where there is nothing to say, or no place to say it.
    pub fn reply(&self, event: Event, text: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        Some(match self.form(event) {
            Form::Silent => return None,
            Form::Specific(name) => {
                json!({"hookSpecificOutput": {"hookEventName": name, "additionalContext": text}}).to_string()
            }
            Form::Additional => json!({"additional_context": text}).to_string(),
            Form::Plain => format!("{text}\n"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_in_each_agents_form() {
        let reply = |agent, event| Protocol::of(agent).unwrap().reply(event, "a \"b\"\nc");
        let specific = |name: &str| {
            Some(format!(r#"{{"hookSpecificOutput":{{"hookEventName":"{name}","additionalContext":"a \"b\"\nc"}}}}"#))
        };
        for agent in ["claude-code", "codex", "gemini"] {
            assert_eq!(reply(agent, Event::SessionStart), specific("SessionStart"), "{agent}");
        }
        assert_eq!(reply("claude-code", Event::Prompt), specific("UserPromptSubmit"));
        assert_eq!(reply("codex", Event::Prompt), specific("UserPromptSubmit"));
        assert_eq!(reply("gemini", Event::Prompt), specific("BeforeAgent"));
        assert_eq!(reply("cursor", Event::SessionStart).unwrap(), r#"{"additional_context":"a \"b\"\nc"}"#);
        assert_eq!(reply("cursor", Event::Prompt), None);
        assert_eq!(reply("kiro", Event::Prompt).unwrap(), "a \"b\"\nc\n");
    }

    #[test]
    fn nothing_to_say_and_nobody_to_hear_are_silence() {
        for protocol in PROTOCOLS {
            for event in [Event::PreCompact, Event::SessionEnd] {
                assert_eq!(protocol.reply(event, "x"), None, "{} {event:?}", protocol.agent);
            }
            assert_eq!(protocol.reply(Event::SessionStart, ""), None, "{}", protocol.agent);
        }
    }
}
