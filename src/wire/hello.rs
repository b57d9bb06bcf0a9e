//! The frozen greeting, laid out by hand: 32 bytes each way that never change, whatever the protocol becomes.
//! So two versions that share nothing else can still tell each other who they are, in a sentence.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::limits::{HELLO_WITHIN, REFUSAL_BYTES_MAX};
use crate::error::{Error, Result};

/// Sides with different majors do not understand each other.
pub const MAJOR: u16 = 1;
/// 0: the first; 1: version control; 2: meaning; 3: MatrixOne; 4: every agent set up. A side speaks the smaller of the
/// two minors.
pub const MINOR: u16 = 4;

const MAGIC: [u8; 8] = *b"\x8dMEMORIA";

/// The length of a greeting.
///
/// ```text
/// 0..8    magic   8d "MEMORIA"
/// 8       kind    1 Hello, 2 Ack, 3 Refused (then: u16 length and that many bytes of UTF-8, the reason)
/// 9       role    1 shim, 2 command line, 3 daemon
/// 10..12  major   u16, little-endian like all that follows
/// 12..14  minor   u16
/// 14..18  pid     u32
/// 18..24  build   three u16: the package's version
/// 24..32  zero, and not looked at
/// ```
pub const HELLO_BYTES: usize = 32;

/// What a greeting is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// The client's, first.
    Hello = 1,
    /// The daemon's: go on.
    Ack = 2,
    /// The daemon's: a reason follows, and the end.
    Refused = 3,
}

/// Who is speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `memoria mcp`.
    Shim = 1,
    /// A command that somebody typed.
    Cli = 2,
    /// `memoriad`.
    Daemon = 3,
}

/// The package's version, so that a newer client knows an older daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Build(pub [u16; 3]);

impl Build {
    /// Of this program.
    pub fn own() -> Self {
        let part = |text: &str| text.parse().unwrap_or(0);
        Self([
            part(env!("CARGO_PKG_VERSION_MAJOR")),
            part(env!("CARGO_PKG_VERSION_MINOR")),
            part(env!("CARGO_PKG_VERSION_PATCH")),
        ])
    }
}

impl std::fmt::Display for Build {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// One side's introduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Who.
    pub role: Role,
    /// Protocol; see [`MAJOR`].
    pub major: u16,
    /// Protocol; see [`MINOR`].
    pub minor: u16,
    /// Process.
    pub pid: u32,
    /// Program.
    pub build: Build,
}

impl Hello {
    /// This process, in this role.
    pub fn own(role: Role) -> Self {
        Self { role, major: MAJOR, minor: MINOR, pid: std::process::id(), build: Build::own() }
    }

    /// The frozen layout; see [`HELLO_BYTES`].
    pub fn to_bytes(self, greeting: Greeting) -> [u8; HELLO_BYTES] {
        let mut out = [0; HELLO_BYTES];
        out[..8].copy_from_slice(&MAGIC);
        out[8] = greeting as u8;
        out[9] = self.role as u8;
        out[10..12].copy_from_slice(&self.major.to_le_bytes());
        out[12..14].copy_from_slice(&self.minor.to_le_bytes());
        out[14..18].copy_from_slice(&self.pid.to_le_bytes());
        for (slot, part) in out[18..24].chunks_exact_mut(2).zip(self.build.0) {
            slot.copy_from_slice(&part.to_le_bytes());
        }
        out
    }

    /// # Errors
    /// `Protocol` when this is not one of our greetings.
    pub fn from_bytes(bytes: &[u8; HELLO_BYTES]) -> Result<(Greeting, Self)> {
        if bytes[..8] != MAGIC {
            return Err(Error::protocol("the other side does not speak Memoria's protocol"));
        }
        let greeting = match bytes[8] {
            1 => Greeting::Hello,
            2 => Greeting::Ack,
            3 => Greeting::Refused,
            other => return Err(Error::protocol(format!("unknown greeting {other}: update the older Memoria"))),
        };
        let role = match bytes[9] {
            1 => Role::Shim,
            2 => Role::Cli,
            3 => Role::Daemon,
            other => return Err(Error::protocol(format!("unknown role {other}: update the older Memoria"))),
        };
        let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let pid = u32::from_le_bytes([bytes[14], bytes[15], bytes[16], bytes[17]]);
        let build = Build([short(18), short(20), short(22)]);
        Ok((greeting, Self { role, major: short(10), minor: short(12), pid, build }))
    }
}

/// A refusal as it goes over the wire: the greeting, then its reason.
pub fn refusal(own: Hello, reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(REFUSAL_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut out = own.to_bytes(Greeting::Refused).to_vec();
    out.extend_from_slice(&(end as u16).to_le_bytes());
    out.extend_from_slice(&reason.as_bytes()[..end]);
    out
}

/// What to tell a client whose major is not ours.
pub fn mismatch(own: Hello, other: Hello) -> String {
    format!(
        "Memoria {} (process {}) speaks protocol {}, the daemon {} (process {}) speaks protocol {}: run \
         `memoria restart` with the newer one, so that both are of one version",
        other.build, other.pid, other.major, own.build, own.pid, own.major
    )
}

/// The client's half of the greeting. The answer, not the connection, is the proof that a daemon lives.
///
/// # Errors
/// The I/O error of a peer that is gone or silent, or the refusal in its own words.
pub async fn greet<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, role: Role) -> std::io::Result<Result<Hello>> {
    let answer = timeout(HELLO_WITHIN, async {
        stream.write_all(&Hello::own(role).to_bytes(Greeting::Hello)).await?;
        let mut bytes = [0; HELLO_BYTES];
        stream.read_exact(&mut bytes).await?;
        let daemon = match Hello::from_bytes(&bytes) {
            Ok((Greeting::Ack, daemon)) => return Ok(Ok(daemon)),
            Ok((Greeting::Refused, _)) => read_reason(stream).await?,
            Ok((Greeting::Hello, _)) => Error::protocol("the daemon answered like a client"),
            Err(error) => error,
        };
        Ok(Err(daemon))
    });
    answer.await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

async fn read_reason<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Error> {
    let len = usize::from(stream.read_u16_le().await?);
    if len > REFUSAL_BYTES_MAX {
        return Ok(Error::protocol("the daemon refused, with a reason that is too long"));
    }
    let mut reason = vec![0; len];
    stream.read_exact(&mut reason).await?;
    Ok(Error::protocol(String::from_utf8_lossy(&reason)))
}

/// The daemon's half, up to the client's Hello; the answer is the caller's to give.
///
/// # Errors
/// When nothing, or not a Hello, comes within the time for it.
pub async fn await_hello<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Hello> {
    let mut bytes = [0; HELLO_BYTES];
    match timeout(HELLO_WITHIN, stream.read_exact(&mut bytes)).await {
        Err(_) => return Err(Error::protocol("a client said no Hello within 2 seconds")),
        Ok(Err(error)) => return Err(Error::io("read a client's Hello", &error)),
        Ok(Ok(_)) => {}
    }
    match Hello::from_bytes(&bytes)? {
        (Greeting::Hello, client) => Ok(client),
        _ => Err(Error::protocol("a client answered before it was asked")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: Hello = Hello { role: Role::Shim, major: 1, minor: 0, pid: 0x0102_0304, build: Build([0, 1, 0x0203]) };

    /// These bytes can never change, not with any protocol version: old programs must read them.
    #[test]
    fn hello_is_byte_exact() {
        let expected: [u8; 32] = [
            0x8d, b'M', b'E', b'M', b'O', b'R', b'I', b'A', 1, 1, 1, 0, 0, 0, 4, 3, 2, 1, 0, 0, 1, 0, 3, 2, 0, 0, 0, 0,
            0, 0, 0, 0,
        ];
        assert_eq!(ANNA.to_bytes(Greeting::Hello), expected);
        assert_eq!(Hello::from_bytes(&expected).unwrap(), (Greeting::Hello, ANNA));
        let daemon = Hello { role: Role::Daemon, ..ANNA };
        let mut ack = expected;
        (ack[8], ack[9]) = (2, 3);
        assert_eq!(daemon.to_bytes(Greeting::Ack), ack);
    }

    #[test]
    fn refusal_is_byte_exact_and_cut_at_a_character() {
        let bytes = refusal(ANNA, "nö");
        assert_eq!(bytes[8], 3);
        assert_eq!(bytes[32..], [3, 0, b'n', 0xc3, 0xb6]);
        let long = refusal(ANNA, &"ö".repeat(1000));
        assert_eq!(long.len(), 32 + 2 + REFUSAL_BYTES_MAX);
        assert!(std::str::from_utf8(&refusal(ANNA, &format!("x{}", "ö".repeat(1000)))[34..]).is_ok());
    }

    #[test]
    fn garbage_is_no_hello() {
        assert!(Hello::from_bytes(&[0; 32]).is_err());
        assert!(Hello::from_bytes(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..32].try_into().unwrap()).is_err());
        for (at, value) in [(0, 0), (8, 0), (8, 4), (9, 0), (9, 4)] {
            let mut bytes = ANNA.to_bytes(Greeting::Hello);
            bytes[at] = value;
            assert!(Hello::from_bytes(&bytes).is_err(), "byte {at} = {value}");
        }
    }

    #[test]
    fn bytes_kept_for_later_are_not_looked_at() {
        let mut bytes = ANNA.to_bytes(Greeting::Hello);
        bytes[24..].fill(7);
        assert_eq!(Hello::from_bytes(&bytes).unwrap().1, ANNA);
    }

    #[test]
    fn builds_compare_as_versions() {
        assert!(Build([0, 2, 0]) > Build([0, 1, 9]));
        assert!(Build([0, 10, 0]) > Build([0, 9, 0]));
        assert_eq!(Build::own().to_string(), env!("CARGO_PKG_VERSION"));
    }
}
