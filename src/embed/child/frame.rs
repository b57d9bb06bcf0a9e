//! What the daemon and its process `memoriad embed` say to each other, over the latter's standard input and output: a
//! length (u32, little-endian), then the body. First a [`Start`] and its answer, then texts and their vectors, one
//! request at a time. Both ends are of one program, so nothing here has versions.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::recipe::Recipe;

/// Bytes of a body at most: 32 vectors of 4096 numbers fit many times.
const BODY_BYTES_MAX: u32 = 64 * 1024 * 1024;

/// What the process is told first, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    pub recipe: Recipe,
    /// The runtime's library; `None` leaves it to the system to find one.
    pub runtime: Option<PathBuf>,
    /// After so long without a request it ends.
    pub idle_ms: u64,
}

/// What the process answers.
#[derive(Debug, PartialEq)]
pub enum Reply {
    /// It has loaded: what it runs on, in words.
    Ready(String),
    /// The vectors' numbers, one after the other, all of the same dimensions.
    Vectors(Vec<f32>),
    /// A sentence.
    Failed(String),
}

impl Reply {
    /// As a body.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Ready(text) => tagged(b'r', text.as_bytes()),
            Self::Failed(text) => tagged(b'f', text.as_bytes()),
            Self::Vectors(numbers) => {
                let mut bytes = vec![b'v'];
                bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
                bytes
            }
        }
    }

    /// From a body; `None` where it is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        let text = || String::from_utf8_lossy(rest).into_owned();
        match tag {
            b'r' => Some(Self::Ready(text())),
            b'f' => Some(Self::Failed(text())),
            b'v' => {
                let (numbers, rest) = rest.as_chunks::<4>();
                rest.is_empty()
                    .then(|| Self::Vectors(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect()))
            }
            _ => None,
        }
    }
}

fn tagged(tag: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(rest);
    bytes
}

/// Writes one frame and lets it go.
pub fn write(output: &mut impl Write, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= BODY_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "too much for one request"))?;
    output.write_all(&length.to_le_bytes())?;
    output.write_all(body)?;
    output.flush()
}

/// Reads one frame; `None` at the end of the input.
pub fn read(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match input.read(&mut length[..1])? {
        0 => return Ok(None),
        _ => input.read_exact(&mut length[1..])?,
    }
    let length = u32::from_le_bytes(length);
    if length > BODY_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "what it says is no reply of ours"));
    }
    let mut body = Vec::new();
    input.take(length.into()).read_to_end(&mut body)?;
    match body.len() as u64 == u64::from(length) {
        true => Ok(Some(body)),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut pipe = Vec::new();
        let replies = [Reply::Ready("x".into()), Reply::Failed(String::new()), Reply::Vectors(vec![1.5, f32::MIN])];
        replies.iter().for_each(|reply| write(&mut pipe, &reply.bytes()).unwrap());
        let mut input = pipe.as_slice();
        for reply in replies {
            assert_eq!(Reply::from_bytes(&read(&mut input).unwrap().unwrap()), Some(reply));
        }
        assert_eq!(read(&mut input).unwrap(), None);
    }

    #[test]
    fn what_is_cut_or_too_long_is_an_error() {
        for bytes in [&[1][..], &[5, 0, 0, 0, 1], &[255, 255, 255, 255]] {
            assert!(read(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
        for body in [&b""[..], b"x", b"v123"] {
            assert_eq!(Reply::from_bytes(body), None, "{body:?}");
        }
    }
}
