//! The way to a host and back, as bytes: a socket for `http`, the machine's `curl` for `https`. Nothing here knows what
//! a reply means. A key travels over curl's standard input, never in its arguments, which others could read.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::address::Address;
use super::client::Patience;
use crate::embed::background;
use crate::error::{Error, Result};

/// What comes back.
pub enum Pipe {
    Socket { stream: TcpStream, silence: Duration, until: Instant },
    Curl(Curl),
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket { stream, silence, until } => {
                let left = left(*until)?.min(*silence);
                stream.set_read_timeout(Some(left))?;
                stream.read(buffer).map_err(in_time)
            }
            Self::Curl(curl) => curl.read(buffer),
        }
    }
}

/// Time that is left: never zero, which a socket would take for "for ever".
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(late()) } else { Ok(left) }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the time for it is over")
}

fn in_time(error: io::Error) -> io::Error {
    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) { late() } else { error }
}

/// Sends a request over a socket.
///
/// # Errors
/// `Unavailable` where the host is not found, cannot be reached or does not take the request in time.
pub fn through_socket(
    address: &Address,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
    patience: Patience,
    until: Instant,
) -> Result<Pipe> {
    let send = || {
        let mut stream = connected(address, until.min(Instant::now() + patience.connect))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(left(until)?.min(patience.silence)))?;
        let mut request = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept-Encoding: identity\r\n",
            if body.is_some() { "POST" } else { "GET" },
            address.path,
            address.authority()
        );
        for (name, value) in headers {
            request.extend([*name, ": ", *value, "\r\n"]);
        }
        if let Some(body) = body {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend_from_slice(body.unwrap_or_default());
        // A host that refuses early closes its side while we still write: its answer says why.
        match stream.write_all(&request).map_err(in_time) {
            Err(e) if !matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Err(e),
            _ => Ok(stream),
        }
    };
    let stream = send().map_err(|e| Error::unavailable(format!("cannot reach {}: {e}", address.origin())))?;
    Ok(Pipe::Socket { stream, silence: patience.silence, until })
}

fn connected(address: &Address, until: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in resolved(address, until)? {
        match TcpStream::connect_timeout(&address, left(until)?) {
            Ok(stream) => return Ok(stream),
            Err(e) => last = in_time(e),
        }
    }
    Err(last)
}

/// On a thread of its own, because the system's look-up knows no deadline.
fn resolved(address: &Address, until: Instant) -> io::Result<Vec<SocketAddr>> {
    let (host, port) = (address.host.clone(), address.port);
    let (tell, told) = mpsc::channel();
    std::thread::Builder::new().name("resolve".to_owned()).spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // Nobody listens any more when the time is over.
        let _ = tell.send(found);
    })?;
    told.recv_timeout(left(until)?).map_err(|_| late())?
}

/// A running `curl`; killed when it is let go of before its end.
pub struct Curl {
    child: Child,
}

impl Curl {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(output) = self.child.stdout.as_mut() else { return Ok(0) };
        match output.read(buffer)? {
            0 if !buffer.is_empty() => {
                drop(self.child.stdout.take());
                if self.child.wait()?.success() { Ok(0) } else { Err(self.last_words()) }
            }
            read => Ok(read),
        }
    }

    /// `curl: (6) Could not resolve host: x`
    fn last_words(&mut self) -> io::Error {
        let mut words = String::new();
        if let Some(errors) = self.child.stderr.as_mut() {
            // What it says is a hint; that it failed is known without it.
            let _ = errors.take(4_096).read_to_string(&mut words);
        }
        let line = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("curl failed without a reason");
        io::Error::other(line.to_owned())
    }
}

impl Drop for Curl {
    fn drop(&mut self) {
        // Both fail where it has ended already, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request through `curl`.
///
/// # Errors
/// `NotFound` where this machine has no `curl`.
pub fn through_curl(
    address: &Address,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
    patience: Patience,
    until: Instant,
) -> Result<Pipe> {
    let failed = |e: io::Error| Error::unavailable(format!("cannot run curl for {}: {e}", address.origin()));
    let mut child = background::command("curl")
        .args(["--disable", "--config", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::not_found(format!(
                "{} needs the program `curl`, which this machine does not have: install it",
                address.origin()
            )),
            _ => failed(e),
        })?;
    let input = child.stdin.take();
    let curl = Curl { child };
    let settings = settings(address, headers, body, patience, left(until).map_err(failed)?);
    if let Some(mut input) = input {
        // Where it ended early, its own words say why.
        let _ = input.write_all(settings.as_bytes()).and_then(|()| input.flush());
    }
    Ok(Pipe::Curl(curl))
}

/// What curl is told. `raw`, `include` and `http1.1`: it prints the reply byte for byte.
fn settings(
    address: &Address,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
    patience: Patience,
    left: Duration,
) -> String {
    let mut lines = String::from(
        "silent\nshow-error\ninclude\nraw\nhttp1.1\nsuppress-connect-headers\ngloboff\npath-as-is\ntlsv1.2\n\
         proto = \"=https\"\nspeed-limit = 1\nheader = \"Expect:\"\nheader = \"Accept-Encoding: identity\"\n",
    );
    let mut set = |name: &str, value: &str| {
        lines.push_str(name);
        lines.push_str(" = \"");
        for c in value.chars() {
            match c {
                '"' | '\\' => lines.extend(['\\', c]),
                '\n' => lines.push_str("\\n"),
                '\r' => lines.push_str("\\r"),
                _ => lines.push(c),
            }
        }
        lines.push_str("\"\n");
    };
    set("connect-timeout", &format!("{:.3}", patience.connect.min(left).as_secs_f64()));
    set("max-time", &format!("{:.3}", left.as_secs_f64()));
    set("speed-time", &patience.silence.as_secs().max(1).to_string());
    for (name, value) in headers {
        set("header", &format!("{name}: {value}"));
    }
    if let Some(body) = body {
        // JSON, which is text.
        set("data-raw", &String::from_utf8_lossy(body));
    }
    set("url", &format!("{}{}", address.origin(), address.path));
    lines
}
