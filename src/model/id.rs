//! Identifiers, each a type of its own. Random ones are made here; hashes are made in `canon.rs`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Lower-case hex of any bytes.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Parses exactly `N` bytes of hex; hyphens are ignored, so a UUID in its long form is accepted.
pub fn unhex<const N: usize>(text: &str, what: &str) -> Result<[u8; N]> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    let wrong = || Error::invalid(format!("`{text}` is not a {what}: expected {} hex digits", N * 2));
    if digits.len() != N * 2 {
        return Err(wrong());
    }
    let mut out = [0u8; N];
    for (slot, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |b: u8| (b as char).to_digit(16).ok_or_else(wrong);
        *slot = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Ok(out)
}

macro_rules! binary_id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), &hex(&self.0)[..8])
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                unhex(text, $what).map(Self)
            }
        }
    };
}

binary_id!(
    /// A memory's stable, random id (UUIDv4); shown as 32 hex digits or a unique prefix of at least 8.
    MemoryId, 16, "memory id");
binary_id!(
    /// BLAKE3 of salt, memory id and all fields of one immutable state of a memory.
    VersionId, 32, "version id");
binary_id!(
    /// BLAKE3 of a commit's parents, changes by version id, author, verb, note, time and operation.
    CommitId, 32, "commit id");
binary_id!(
    /// Random bytes hashed into a version id, so that an erased text cannot be guessed from its hash.
    Salt, 16, "salt");

impl MemoryId {
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().into_bytes())
    }
}

impl Salt {
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().into_bytes())
    }
}

/// One operation of one client: the client's nonce and the number of its input line (or call).
/// The same id is applied at most once, whoever sends it again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OpId {
    pub nonce: [u8; 16],
    pub line: u64,
}

impl OpId {
    /// A fresh nonce: a client makes one at start and counts lines under it.
    pub fn nonce() -> [u8; 16] {
        uuid::Uuid::new_v4().into_bytes()
    }

    /// Big-endian, so that one client's operations stand together and in order.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut out = [0; 24];
        out[..16].copy_from_slice(&self.nonce);
        out[16..].copy_from_slice(&self.line.to_be_bytes());
        out
    }

    pub fn from_bytes(bytes: [u8; 24]) -> Self {
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&bytes[..16]);
        let mut line = [0; 8];
        line.copy_from_slice(&bytes[16..]);
        Self { nonce, line: u64::from_be_bytes(line) }
    }
}

impl fmt::Debug for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", &hex(&self.nonce)[..8], self.line)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $max:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(String);

        impl $name {
            /// Longest accepted, in bytes.
            pub const MAX_BYTES: usize = $max;

            pub fn new(text: impl Into<String>) -> Result<Self> {
                let text = text.into();
                if text.trim().is_empty() || text.len() > $max || text.chars().any(char::is_control) {
                    return Err(Error::invalid(format!(
                        "a {} has 1 to {} bytes and no control characters", $what, $max)));
                }
                Ok(Self(text))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// Where a memory belongs: derived from the git remote, else the git common directory, else the folder.
    ProjectId, 512, "project");
text_id!(
    /// A conversation: one shim process, `cli` for what people type in one project, or what an agent named.
    SessionId, 128, "session id");
text_id!(
    /// Whom or what a memory is about, where an agent serves several.
    SubjectId, 128, "subject");
