//! The local socket (on Windows a named pipe): connecting to it, and who is at the other end.
//! The same stream on both sides; listening is the daemon's (`daemon/listen.rs`).

use std::path::Path;

use interprocess::local_socket::tokio::prelude::*;
use interprocess::local_socket::{GenericFilePath, Name, ToFsName};

use crate::error::{Error, Result};

pub use interprocess::local_socket::tokio::Stream;

/// The name under which interprocess knows a socket's path.
///
/// # Errors
/// When the system takes no such path.
pub fn name(path: &Path) -> std::io::Result<Name<'_>> {
    path.to_fs_name::<GenericFilePath>()
}

/// Connects; says nothing yet.
///
/// # Errors
/// The system's own, by which the caller tells absence from refusal.
pub async fn connect(path: &Path) -> std::io::Result<Stream> {
    Stream::connect(name(path)?).await
}

/// Refuses a peer that is another user, or whose user cannot be told. Asked on the connected socket, so that
/// nobody can step in between. On Windows the pipe's own rights keep others out.
///
/// # Errors
/// `Denied`, naming both users; the I/O error when the peer is gone already.
pub fn check_peer(stream: &Stream) -> std::io::Result<Result<()>> {
    if cfg!(windows) {
        return Ok(Ok(()));
    }
    let creds = stream.peer_creds()?;
    #[cfg(unix)]
    return Ok(judge_peer(creds.euid(), rustix::process::geteuid().as_raw()));
    #[cfg(not(unix))]
    return Ok(Err(Error::denied(format!("cannot tell which user process {:?} belongs to", creds.pid()))));
}

#[cfg_attr(windows, allow(dead_code))]
fn judge_peer(found: Option<u32>, own: u32) -> Result<()> {
    match found {
        Some(uid) if uid == own => Ok(()),
        Some(uid) => Err(Error::denied(format!(
            "the other end of the socket belongs to user {uid}, and this is user {own}: \
             memories are shared by the programs of one user only"
        ))),
        None => Err(Error::denied("the system does not tell which user is at the other end of the socket")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_user_passes() {
        assert!(judge_peer(Some(7), 7).is_ok());
        assert!(judge_peer(Some(0), 7).is_err(), "not even root: its daemon is another one");
        assert!(judge_peer(None, 7).is_err());
    }
}
