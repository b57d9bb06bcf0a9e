//! The one error type: a kind that code decides by, and a sentence that a person can act on.
//! It crosses the wire as it is. It never holds a secret, a user's text or a backtrace.

use std::fmt;

use serde::{Deserialize, Serialize};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for code. The numbers of the variants are part of the wire protocol: only append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// The request makes no sense as it stands; asking again unchanged will fail again.
    Invalid,
    NotFound,
    /// A prefix or a name fits more than one thing.
    Ambiguous,
    /// Somebody else changed it first, or it is not in the state that the request expected.
    Conflict,
    TooLarge,
    /// The disk (or a quota) is full. Nothing of this request was kept.
    Full,
    /// Not allowed: foreign owner, wrong peer, unreadable folder.
    Denied,
    /// Cannot be served now; the same request may go through later.
    Unavailable,
    /// The daemon is draining; a new one will answer.
    ShuttingDown,
    /// Stored data fails its checks.
    Corrupt,
    /// The operation id is older than its stored reply: it is not applied again.
    Expired,
    /// The write may or may not have happened; the same operation id will tell.
    Unknown,
    /// The two sides speak different protocols.
    Protocol,
    Cancelled,
    /// A fault of ours.
    Internal,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    pub kind: ErrorKind,
    /// One or two sentences: what happened, then what to do.
    pub message: String,
}

macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {$(
        pub fn $name(message: impl Into<String>) -> Self {
            Self { kind: ErrorKind::$kind, message: message.into() }
        }
    )*};
}

impl Error {
    constructors! {
        invalid => Invalid, not_found => NotFound, ambiguous => Ambiguous, conflict => Conflict,
        too_large => TooLarge, full => Full, denied => Denied, unavailable => Unavailable,
        shutting_down => ShuttingDown, corrupt => Corrupt, expired => Expired, unknown => Unknown,
        protocol => Protocol, cancelled => Cancelled, internal => Internal,
    }

    /// Whether the same request, with the same operation id, is worth sending again.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::ShuttingDown | ErrorKind::Unknown)
    }

    /// An I/O error on a named thing: `what` completes "cannot …", for example "open /x/memoria.redb".
    pub fn io(what: impl fmt::Display, source: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match source.kind() {
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::Full,
            Io::PermissionDenied => ErrorKind::Denied,
            Io::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Unavailable,
        };
        Self { kind, message: format!("cannot {what}: {source}") }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
