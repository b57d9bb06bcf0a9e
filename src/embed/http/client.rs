//! One request, one reply: `get` and `post`, with every wait bounded and every redirect decided by the caller. No
//! cookies, no compression, nothing kept between requests. What a reply says is the caller's to judge.
//!
//! `http://` is spoken over a socket of our own, directly. `https://` goes through the machine's `curl`: TLS of our own
//! would add a megabyte to the program, and curl knows this machine's certificates and proxies.

use std::time::{Duration, Instant};

use super::address::Address;
use super::pipe;
use super::reply::Reply;
use crate::error::{Error, Result};

/// Redirects followed at most.
const REDIRECTS_MAX: usize = 5;

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection, with the look-up of the name.
    pub connect: Duration,
    /// For the next bytes, while none come.
    pub silence: Duration,
    /// For everything, to the last byte of the body.
    pub total: Duration,
}

impl Patience {
    /// The same for all three: for small requests.
    pub fn of(total: Duration) -> Self {
        Self { connect: total, silence: total, total }
    }
}

/// What happens when the answer is elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirects {
    /// The reply is handed over as it is.
    Refuse,
    /// Followed a few times, never from `https` to `http`. Another host gets no `Authorization`.
    Follow,
}

/// Asks for what lies at an address. A status that is not 200 is a reply like any other.
///
/// # Errors
/// `Unavailable` when nobody answers in time or the answer is not HTTP (worth trying again), `Invalid` for an address
/// that cannot be used or a redirect that may not be followed, `NotFound` where `curl` is needed and missing.
pub fn get(url: &str, headers: &[(&str, &str)], patience: Patience, redirects: Redirects) -> Result<Reply> {
    let until = Instant::now() + patience.total;
    let mut address: Address = url.parse()?;
    let mut headers = headers.to_vec();
    for _ in 0..=REDIRECTS_MAX {
        let reply = exchange(&address, &headers, None, patience, until)?;
        let target = match (redirects, reply.status) {
            (Redirects::Follow, 301 | 302 | 303 | 307 | 308) => reply.header("location"),
            _ => None,
        };
        let Some(target) = target else { return Ok(reply) };
        let next = address.joined(target)?;
        if address.is_secure() && !next.is_secure() {
            return Err(Error::invalid(format!(
                "{address} leads to {next}, which is not encrypted: it is not followed. Check the address"
            )));
        }
        if address.host != next.host || address.port != next.port {
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
        }
        address = next;
    }
    Err(Error::unavailable(format!("{url} leads from address to address, more than {REDIRECTS_MAX} times")))
}

/// Sends a body. Redirects are never followed: what is sent is for this host alone.
///
/// # Errors
/// As of [`get`].
pub fn post(url: &str, headers: &[(&str, &str)], body: &[u8], patience: Patience) -> Result<Reply> {
    exchange(&url.parse()?, headers, Some(body), patience, Instant::now() + patience.total)
}

fn exchange(
    address: &Address,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
    patience: Patience,
    until: Instant,
) -> Result<Reply> {
    if headers.iter().any(|(name, value)| [name, value].iter().any(|text| text.chars().any(char::is_control))) {
        // Never the value: it may be a key.
        return Err(Error::invalid("a header of a request has a control character in it: check the key for a newline"));
    }
    let pipe = match address.is_secure() {
        true => pipe::through_curl(address, headers, body, patience, until)?,
        false => pipe::through_socket(address, headers, body, patience, until)?,
    };
    Reply::read(pipe).map_err(|e| Error::unavailable(format!("{} does not answer: {e}", address.origin())))
}
