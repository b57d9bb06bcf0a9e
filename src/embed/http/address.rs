//! Addresses of the web, as far as Memoria needs them: scheme, host, port, path. No user names, no fragments.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::error::{Error, Result};

/// `http://host:port/path?query`, or the same with `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    scheme: Scheme,
    /// Lower case; an IPv6 address without its brackets.
    pub host: String,
    /// As written, or the scheme's own.
    pub port: u16,
    /// With the query; begins with `/`.
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Address {
    /// Whether what is sent there is encrypted.
    pub fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        let is_address = |host: &str| host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
        self.host == "localhost" || self.host.ends_with(".localhost") || is_address(&self.host)
    }

    /// Scheme, host and port, as a request and a person name them.
    pub fn origin(&self) -> String {
        let scheme = if self.is_secure() { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// Host and port; the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.scheme.port() { host } else { format!("{host}:{}", self.port) }
    }

    /// Where a `Location` leads that was read here.
    ///
    /// # Errors
    /// `Invalid` where it is neither an address nor a path from the root.
    pub fn joined(&self, location: &str) -> Result<Self> {
        match location.strip_prefix("//") {
            Some(_) => format!("{}:{location}", if self.is_secure() { "https" } else { "http" }).parse(),
            None if location.starts_with('/') => format!("{}{location}", self.origin()).parse(),
            None => location.parse(),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::invalid(format!("`{text}` cannot be used as an address: {why}"));
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("it has a space or a character that is not ASCII"));
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
            _ => return Err(wrong("it must begin with http:// or https://")),
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            // Not shown: what stands before the `@` may be a password.
            return Err(Error::invalid(
                "an address holds a name or a password before `@`: put keys where the settings name them instead",
            ));
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => {
                host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong("the host in brackets is no IPv6 address"))?;
                (host, port)
            }
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => digits.parse().ok().filter(|port| *port != 0).ok_or_else(|| wrong("its port is none"))?,
            None if port.is_empty() => scheme.port(),
            None => return Err(wrong("something stands between the host and the path")),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || !host.chars().all(is_name) || host.starts_with('-') {
            return Err(wrong("it names no host"));
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { scheme, host: host.to_ascii_lowercase(), port, path })
    }
}

/// Without the query, which may hold a signature.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{}{path}", self.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let address: Address = "HTTPS://Example.COM:8443/v1/x?a=b#c".parse().unwrap();
        assert_eq!((address.host.as_str(), address.port, address.path.as_str()), ("example.com", 8443, "/v1/x?a=b"));
        assert!(address.is_secure() && !address.is_loopback());
        assert_eq!(
            (address.to_string(), address.authority()),
            ("https://example.com:8443/v1/x".into(), "example.com:8443".into())
        );
        let bare: Address = "http://[::1]".parse().unwrap();
        assert_eq!((bare.port, bare.path.as_str(), bare.origin().as_str()), (80, "/", "http://[::1]"));
        assert!(bare.is_loopback());
        assert_eq!("http://a?q".parse::<Address>().unwrap().path, "/?q");
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        for (host, is_loopback) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("10.0.0.1", false),
            ("localhost.example.com", false),
            ("127.0.0.1.example.com", false),
        ] {
            assert_eq!(format!("http://{host}/").parse::<Address>().unwrap().is_loopback(), is_loopback, "{host}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_in_a_sentence() {
        for text in [
            "",
            "example.com",
            "ftp://x",
            "http://",
            "http://:80",
            "http://a:b",
            "http://a:0",
            "http://a b",
            "http://a/\nb",
            "http://[::1",
            "http://[x]/",
            "http://ü",
            "http://-x/",
            "http://a:99999",
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.message.contains("address"), "{text}: {error}");
        }
        let error = "http://user:hunter2@a/".parse::<Address>().unwrap_err();
        assert!(!error.message.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_location_is_an_address_or_a_path_from_the_root() {
        let from: Address = "https://a:99/x/y?z".parse().unwrap();
        assert_eq!(from.joined("/q?r").unwrap(), "https://a:99/q?r".parse().unwrap());
        assert_eq!(from.joined("//b/q").unwrap(), "https://b/q".parse().unwrap());
        assert_eq!(from.joined("http://c").unwrap(), "http://c/".parse().unwrap());
        assert!(from.joined("q").is_err() && from.joined("").is_err());
    }
}
