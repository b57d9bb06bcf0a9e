//! Where the server is, who we are there, and how patient we are. The password is read here, from wherever it is, and
//! shown nowhere: not by `Debug`, not in a sentence.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{self, ServerUrl, Tls};
use crate::error::{Error, Result};

const PORT: u16 = 6001;
const DATABASE: &str = "memoria";
/// Bytes; MatrixOne cuts longer names without a word.
const DATABASE_BYTES_MAX: usize = 64;
/// Bytes of a password at most.
const PASSWORD_BYTES_MAX: usize = 8_192;
const URL_VARIABLE: &str = "MEMORIA_MATRIXONE_URL";
const PASSWORD_VARIABLE: &str = "MEMORIA_MATRIXONE_PASSWORD";
const FILE_VARIABLE: &str = "MEMORIA_MATRIXONE_PASSWORD_FILE";
/// systemd's `LoadCredential=matrixone-password:...`.
const CREDENTIAL: &str = "matrixone-password";

/// A text that is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// For the one who sends it to the server.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// Whether what goes to the server is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    None,
    /// By a certificate that one of the public authorities vouches for.
    Public,
    /// By a certificate that one of these (PEM) vouches for.
    Private(Vec<u8>),
}

/// Everything that is needed to reach the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub user: String,
    pub password: Secret,
    /// Lower case; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
    /// ASCII letters, digits, `_` and `-`.
    pub database: String,
    pub encryption: Encryption,
    pub connections_max: usize,
    /// For one request, with everything that is tried again.
    pub deadline: Duration,
    /// For making one connection.
    pub connect: Duration,
    /// What may wait on this machine while the server is away; 0 is nothing.
    pub waiting_bytes_max: u64,
}

impl Settings {
    /// As the settings and the environment say; the password's file is read.
    ///
    /// # Errors
    /// `Invalid` where the address cannot be used; whatever reading a file gives. Never shows a password.
    pub fn new(settings: &config::MatrixOne) -> Result<Self> {
        Self::with_password(settings, settings.url.as_str(), password()?)
    }

    /// Of an address with its password, everything else as by default; for tests and tools.
    ///
    /// # Errors
    /// As of [`Self::new`].
    pub fn from_url(url: &str) -> Result<Self> {
        let (url, password) = ServerUrl::split(url);
        let password = Secret(decoded(password.unwrap_or_default()).ok_or_else(|| not_encoded("the address"))?);
        Self::with_password(&config::Config::default().matrixone, url.as_str(), password)
    }

    fn with_password(settings: &config::MatrixOne, url: &str, password: Secret) -> Result<Self> {
        let place = Place::parse(url)?;
        let is_encrypted = match settings.tls {
            Tls::Auto => !is_loopback(&place.host),
            Tls::Required => true,
            Tls::Off => false,
        };
        let encryption = match (is_encrypted, settings.tls_ca_file.trim()) {
            (false, _) => Encryption::None,
            (true, "") => Encryption::Public,
            (true, file) => {
                let what = format!("read the certificates in {file} (matrixone.tls_ca_file)");
                Encryption::Private(std::fs::read(file).map_err(|e| Error::io(what, &e))?)
            }
        };
        Ok(Self {
            user: place.user,
            password,
            host: place.host,
            port: place.port,
            database: place.database,
            encryption,
            connections_max: settings.connections_max as usize,
            deadline: Duration::from_millis(u64::from(settings.deadline_ms)),
            connect: Duration::from_millis(u64::from(settings.connect_ms)),
            waiting_bytes_max: u64::from(settings.offline_queue).saturating_mul(settings.offline_queue_mb.into()) << 20,
        })
    }

    /// `host:port/database`, as people are told.
    pub fn place(&self) -> String {
        format!("{}/{}", self.address(), self.database)
    }

    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// `host:port`, as people are told.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

struct Place {
    user: String,
    host: String,
    port: u16,
    database: String,
}

impl Place {
    /// Of an address without a password.
    fn parse(url: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::invalid(format!(
                "matrixone.url (`{url}`) cannot be used: {why}. It looks like mysql://user@host:6001/database"
            ))
        };
        if url.is_empty() {
            return Err(Error::invalid(
                "the engine is MatrixOne, but nothing says where it is: set matrixone.url or MEMORIA_MATRIXONE_URL to \
                 mysql://user@host:6001/database",
            ));
        }
        let rest = url.strip_prefix("mysql://").ok_or_else(|| wrong("it must begin with mysql://"))?;
        if rest.contains(['?', '#']) {
            return Err(wrong("nothing may follow the database's name; what there is to choose is under [matrixone]"));
        }
        let (user, rest) = rest.rsplit_once('@').ok_or_else(|| wrong("it names no user"))?;
        let (authority, database) = rest.split_once('/').unwrap_or((rest, DATABASE));
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => {
                host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong("the host in brackets is no IPv6 address"))?;
                (host, port)
            }
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => digits.parse().ok().filter(|port| *port != 0).ok_or_else(|| wrong("its port is none"))?,
            None if port.is_empty() => PORT,
            None => return Err(wrong("something stands between the host and the database")),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || !host.chars().all(is_name) {
            return Err(wrong("it names no host"));
        }
        let user = decoded(user).filter(|user| !user.is_empty()).ok_or_else(|| wrong("it names no user"))?;
        let database = if database.is_empty() { DATABASE } else { database };
        let is_plain = database.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if !is_plain || database.len() > DATABASE_BYTES_MAX {
            return Err(wrong("a database's name has at most 64 letters, digits, `_` and `-`"));
        }
        Ok(Self { user, host: host.to_ascii_lowercase(), port, database: database.to_owned() })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// From the first of its places that has one; none is an empty one.
pub fn password() -> Result<Secret> {
    if let Some(written) = std::env::var(URL_VARIABLE).ok().as_deref().and_then(|url| ServerUrl::split(url).1) {
        return decoded(written).map(Secret).ok_or_else(|| not_encoded(URL_VARIABLE));
    }
    if let Ok(password) = std::env::var(PASSWORD_VARIABLE) {
        return Ok(Secret(password));
    }
    if let Some(file) = std::env::var_os(FILE_VARIABLE) {
        return from_file(Path::new(&file), FILE_VARIABLE);
    }
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join(CREDENTIAL));
    match credential.filter(|file| file.exists()) {
        Some(file) => from_file(&file, "systemd's credential"),
        None => Ok(Secret::default()),
    }
}

fn not_encoded(place: &str) -> Error {
    Error::invalid(format!(
        "the password in {place} cannot be read: a `%` in it is written `%25`, and every other sign `%` and two \
         hexadecimal digits"
    ))
}

/// Its first line.
fn from_file(file: &Path, named_by: &str) -> Result<Secret> {
    let what = format!("read the password in {} ({named_by})", file.display());
    let text = std::fs::read_to_string(file).map_err(|e| Error::io(what, &e))?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(Error::invalid(format!("{} holds no password: it must be its first line", file.display())));
    }
    Ok(Secret(password.to_owned()))
}

/// `%41` is `A`; `None` where a `%` is not followed by two digits, or the bytes are no text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let settings = Settings::from_url("mysql://acc%3Aadm:p%40s:s@h/x@DB.example.com:7001/store-1").unwrap();
        assert_eq!((settings.user.as_str(), settings.password.reveal()), ("acc:adm", "p@s:s@h/x"));
        assert_eq!((settings.address().as_str(), settings.database.as_str()), ("db.example.com:7001", "store-1"));
        let bare = Settings::from_url("mysql://root@[::1]").unwrap();
        assert_eq!(
            (bare.address().as_str(), bare.database.as_str(), bare.password.reveal()),
            ("[::1]:6001", "memoria", "")
        );
    }

    #[test]
    fn every_host_but_this_machine_is_encrypted_unless_that_is_switched_off() {
        let encryption = |host: &str, tls| {
            let mut settings = config::Config::default().matrixone;
            settings.tls = tls;
            let url = format!("mysql://u@{host}/d");
            Settings::with_password(&settings, &url, Secret::default()).unwrap().encryption
        };
        for (host, tls, expected) in [
            ("localhost", Tls::Auto, Encryption::None),
            ("127.0.0.1", Tls::Auto, Encryption::None),
            ("[::1]", Tls::Auto, Encryption::None),
            ("127.0.0.1.example.com", Tls::Auto, Encryption::Public),
            ("10.0.0.1", Tls::Auto, Encryption::Public),
            ("10.0.0.1", Tls::Off, Encryption::None),
            ("localhost", Tls::Required, Encryption::Public),
        ] {
            assert_eq!(encryption(host, tls), expected, "{host} {tls:?}");
        }
    }

    #[test]
    fn certificates_that_cannot_be_read_are_said_with_the_setting_that_names_them() {
        let mut settings = config::Config::default().matrixone;
        (settings.tls, settings.tls_ca_file) = (Tls::Required, "/nowhere/ca.pem".to_owned());
        let error = Settings::with_password(&settings, "mysql://u@h/d", Secret::default()).unwrap_err();
        assert!(error.message.contains("/nowhere/ca.pem") && error.message.contains("tls_ca_file"), "{error}");
    }

    #[test]
    fn no_refusal_and_no_debug_output_shows_the_password() {
        for url in [
            "mysql://u:hunter2@",
            "postgres://u:hunter2@h/d",
            "mysql://u:hunter2@h:0/d",
            "mysql://u:hunter2@h/d?ssl=1",
            "mysql://u:hunter2@h/a;b",
            "mysql://:hunter2@h/d",
            "mysql://u:%zzhunter2@h/d",
            "mysql://u:hun/ter2@h:x/d",
            "u:hunter2@h",
        ] {
            let error = Settings::from_url(url).unwrap_err().message;
            assert!(!error.contains("hunter2") && !error.contains("ter2"), "{url}: {error}");
        }
        let shown = format!("{:?}", Settings::from_url("mysql://u:hunter2@h/d").unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
