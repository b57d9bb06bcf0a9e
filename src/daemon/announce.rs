//! The one line in which a daemon tells whoever started it that it listens, or why it does not.
//! After it, nothing is ever written to that channel again.

use std::io::Write;

use crate::error::Error;
use crate::wire::hello::Build;

/// Why a start came to nothing.
pub enum Failure {
    /// Another daemon serves this data folder.
    LockHeld(String),
    /// It ended before it was ready, without a word: killed, most likely. Its parent says so, where it has one.
    #[cfg_attr(not(unix), allow(dead_code))]
    Died(String),
    /// Anything else.
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Failure {
    /// For a person.
    pub fn sentence(&self) -> &str {
        match self {
            Self::LockHeld(sentence) | Self::Died(sentence) => sentence,
            Self::Other(error) => &error.message,
        }
    }
}

/// Where the line goes: a pipe to the parent, standard output, or nowhere.
pub struct Announce(Option<Box<dyn Write + Send>>);

impl Announce {
    /// To this channel.
    pub fn to(channel: impl Write + Send + 'static) -> Self {
        Self(Some(Box::new(channel)))
    }

    /// Nobody asked.
    pub fn nowhere() -> Self {
        Self(None)
    }

    /// The daemon listens.
    pub fn ready(self) {
        self.say(&format!("ready {} {}", std::process::id(), Build::own()));
    }

    /// The daemon will not run.
    pub fn failed(self, why: &Failure) {
        let kind = match why {
            Failure::LockHeld(_) => "lock-held",
            Failure::Died(_) => "died",
            Failure::Other(_) => "other",
        };
        self.say(&format!("failed {kind} {}", why.sentence().replace(char::is_control, " ")));
    }

    /// A whole line, as it is. A starter that went away needs no answer.
    pub fn say(self, line: &str) {
        if let Some(mut channel) = self.0 {
            let _ = channel.write_all(format!("{line}\n").as_bytes()).and_then(|()| channel.flush());
        }
    }
}
