//! The key of an endpoint: where it is read from, each time it is needed, so that it may change. It is never kept in
//! settings, shown, logged or put into an error.

use std::path::PathBuf;

use crate::config;
use crate::error::{Error, Result};

/// Bytes of a key at most.
const BYTES_MAX: usize = 8_192;

/// Where the key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    None,
    /// An environment variable of the daemon.
    Environment(String),
    File(PathBuf),
}

impl Key {
    /// As the settings say.
    ///
    /// # Errors
    /// `Invalid` where they name both a variable and a file.
    pub fn of(settings: &config::Embedding) -> Result<Self> {
        match (settings.http_key_env.trim(), settings.http_key_file.trim()) {
            ("", "") => Ok(Self::None),
            (variable, "") => Ok(Self::Environment(variable.to_owned())),
            ("", file) => Ok(Self::File(PathBuf::from(file))),
            _ => Err(Error::invalid(
                "embedding.http_key_env and embedding.http_key_file are both set: keep the one that holds the key",
            )),
        }
    }

    /// The key itself.
    ///
    /// # Errors
    /// A sentence that names the place and never what lies there.
    pub fn read(&self) -> Result<Option<String>> {
        let (text, place) = match self {
            Self::None => return Ok(None),
            Self::Environment(variable) => {
                let text = std::env::var(variable).map_err(|_| {
                    Error::invalid(format!(
                        "the environment variable {variable}, named by embedding.http_key_env, is not set where the \
                         daemon runs: start it from a shell that has it (`memoria restart`), or use a file \
                         (embedding.http_key_file)"
                    ))
                })?;
                (text, format!("the environment variable {variable}"))
            }
            Self::File(path) => {
                let what = format!("read the key in {} (embedding.http_key_file)", path.display());
                let text = std::fs::read_to_string(path).map_err(|e| Error::io(what, &e))?;
                (text, path.display().to_string())
            }
        };
        let key = text.trim();
        let is_plain = key.bytes().all(|byte| byte.is_ascii_graphic());
        if key.is_empty() || key.len() > BYTES_MAX || !is_plain {
            return Err(Error::invalid(format!("{place} holds no key: it must be one word of visible characters")));
        }
        Ok(Some(key.to_owned()))
    }

    /// Where it comes from, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::None => "no key".to_owned(),
            Self::Environment(variable) => format!("key from {variable}"),
            Self::File(path) => format!("key from {}", path.display()),
        }
    }
}
