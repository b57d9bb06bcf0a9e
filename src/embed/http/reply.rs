//! What a host answers: a status, headers, and a body that is read as it comes, in whichever of HTTP's three ways it
//! is framed. A body that ends early is an error, never a short body.

use std::io::{self, BufRead, BufReader, Read};

use super::pipe::Pipe;

/// Bytes of status and headers at most.
const HEAD_BYTES_MAX: u64 = 64 * 1024;

/// A reply whose body is yet to be read.
pub struct Reply {
    /// 200, 404, ...
    pub status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    input: BufReader<Pipe>,
    rest: Rest,
}

/// How much of the body is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Bytes(u64),
    /// In pieces that say their length: so much of this one, and whether a line end stands before the next.
    Pieces(u64, Next),
    UntilTheEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    First,
    Later,
    None,
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

impl Reply {
    /// Reads status and headers; passes over interim replies (`100 Continue`).
    pub(super) fn read(pipe: Pipe) -> io::Result<Self> {
        let mut input = BufReader::new(pipe);
        for _ in 0..8 {
            let (status, headers) = head(&mut input)?;
            if !(100..200).contains(&status) {
                let rest = framing(status, &headers)?;
                return Ok(Self { status, headers, input, rest });
            }
        }
        Err(wrong("it sends interim replies and no other"))
    }

    /// The first header of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Bytes of the body, where it was said how many.
    pub fn length(&self) -> Option<u64> {
        match self.rest {
            Rest::Bytes(bytes) => Some(bytes),
            Rest::Pieces(..) | Rest::UntilTheEnd => None,
        }
    }

    /// The whole body, which may have so many bytes.
    ///
    /// # Errors
    /// Of reading; `FileTooLarge` where it is longer.
    pub fn body(&mut self, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        let is_longer = self.length().is_some_and(|bytes| bytes > bytes_max)
            || self.by_ref().take(bytes_max + 1).read_to_end(&mut body)? as u64 > bytes_max;
        if is_longer {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("its reply is longer than {bytes_max} bytes"),
            ));
        }
        Ok(body)
    }
}

impl Read for Reply {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Rest::Pieces(0, next) = self.rest {
            if next == Next::None {
                return Ok(0);
            }
            self.rest = next_piece(&mut self.input, next)?;
        }
        let bytes = match self.rest {
            Rest::UntilTheEnd => return self.input.read(buffer),
            Rest::Bytes(0) | Rest::Pieces(0, _) => return Ok(0),
            Rest::Bytes(bytes) | Rest::Pieces(bytes, _) => bytes,
        };
        let most = usize::try_from(bytes).map_or(buffer.len(), |bytes| bytes.min(buffer.len()));
        let read = self.input.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "its reply ends too early"));
        }
        self.rest = match self.rest {
            Rest::Pieces(_, next) => Rest::Pieces(bytes - read as u64, next),
            _ => Rest::Bytes(bytes - read as u64),
        };
        Ok(read)
    }
}

type Headers = Vec<(String, String)>;

fn head(input: &mut BufReader<Pipe>) -> io::Result<(u16, Headers)> {
    let mut head = input.by_ref().take(HEAD_BYTES_MAX);
    let first = line(&mut head)?;
    let status = (first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)))
        .and_then(|digits| digits.parse().ok().filter(|status| (100..600).contains(status)))
        .ok_or_else(|| wrong("what it says is not HTTP"))?;
    let mut headers = Vec::new();
    loop {
        let line = line(&mut head)?;
        if line.is_empty() {
            return Ok((status, headers));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| wrong("one of its headers has no colon"))?;
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// One line without its end.
fn line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(wrong("its reply ends, or grows too long, before its body"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// RFC 9112, section 6.3, for replies.
fn framing(status: u16, headers: &Headers) -> io::Result<Rest> {
    let all = |name: &'static str| headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value);
    if let Some(encoding) = all("content-encoding").find(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(wrong(&format!("its reply is compressed ({encoding:.20}), which was not asked for")));
    }
    if matches!(status, 204 | 304) {
        return Ok(Rest::Bytes(0));
    }
    if let Some(coding) = all("transfer-encoding").next() {
        let is_known = coding.eq_ignore_ascii_case("chunked") && all("transfer-encoding").count() == 1;
        return match is_known {
            true => Ok(Rest::Pieces(0, Next::First)),
            false => Err(wrong(&format!("its reply is framed as `{coding:.20}`, which is not known here"))),
        };
    }
    let mut lengths = all("content-length");
    let Some(length) = lengths.next() else { return Ok(Rest::UntilTheEnd) };
    let bytes = length.parse().ok().filter(|_| length.bytes().all(|byte| byte.is_ascii_digit()));
    match bytes {
        Some(bytes) if lengths.all(|other| other == length) => Ok(Rest::Bytes(bytes)),
        _ => Err(wrong("it says no sound length of its reply")),
    }
}

/// Reads how long the next piece is, and after the last one whatever follows it.
fn next_piece(input: &mut BufReader<Pipe>, next: Next) -> io::Result<Rest> {
    let mut head = input.by_ref().take(HEAD_BYTES_MAX);
    if next == Next::Later && !line(&mut head)?.is_empty() {
        return Err(wrong("a piece of its reply is longer than it said"));
    }
    let size = line(&mut head)?;
    let digits = size.split(';').next().unwrap_or_default().trim();
    let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bytes = u64::from_str_radix(digits, 16).ok().filter(|_| is_hex);
    match bytes.ok_or_else(|| wrong("a piece of its reply says no length"))? {
        0 => {
            while !line(&mut head)?.is_empty() {}
            Ok(Rest::Pieces(0, Next::None))
        }
        bytes => Ok(Rest::Pieces(bytes, Next::Later)),
    }
}
