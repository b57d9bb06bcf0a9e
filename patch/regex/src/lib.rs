//! Stands in for the crate of this name, of which `mysql_common` wants seven patterns (a server's version, times, a public
//! key between its two lines) and which adds 1.2 MB to the daemon. A backtracking matcher of just the signs that those
//! are made of; a pattern with any other sign is refused, so that an update of `mysql_common` that needs more fails its
//! first test. Never meant for patterns that people write: those that backtrack badly take long.

/// On bytes, as `mysql_common` uses it.
pub mod bytes;

/// A pattern has a sign that is not known here.
#[derive(Debug)]
pub struct Error(
    /// The pattern.
    pub String,
);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the pattern `{}` has a sign that this stand-in for the regex crate does not know", self.0)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests;
