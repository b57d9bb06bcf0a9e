//! The socket that clients find: bound by whoever holds the lock, or passed by a service manager.
//! A path is removed only while it is still the file that we bound.

use std::path::PathBuf;

use interprocess::local_socket::ListenerOptions;
use interprocess::local_socket::tokio::Listener;
use interprocess::local_socket::traits::tokio::Listener as _;

use super::lock::Lock;
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::wire::socket::{self, Stream};

/// Which file we made: a path can be anybody's by now, an inode cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inode {
    device: u64,
    number: u64,
}

/// Where clients connect.
pub struct Listening {
    listener: Listener,
    path: PathBuf,
    /// `None` for a socket that is not ours to watch or remove: a service manager's, or a pipe on Windows.
    made: Option<Inode>,
}

impl Listening {
    /// Binds the socket anew. Holding the lock says that whatever lies there is stale.
    ///
    /// # Errors
    /// Why nobody could connect.
    pub fn bind(paths: &Paths, _lock: &Lock) -> Result<Self> {
        let path = paths.socket_path();
        let failed = |e: std::io::Error| Error::io(format_args!("listen on {}", path.display()), &e);
        if cfg!(unix) {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
                _ => {}
            }
        }
        let options = ListenerOptions::new().name(socket::name(&path).map_err(failed)?).reclaim_name(false);
        let listener = owner_only(options).and_then(ListenerOptions::create_tokio).map_err(failed)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
        }
        let made = inode(&path);
        Ok(Self { listener, path, made })
    }

    /// The socket that a service manager opened for us, if one did.
    ///
    /// # Errors
    /// When what was passed is no socket to listen on.
    #[cfg(unix)]
    pub fn activated(paths: &Paths) -> Result<Option<Self>> {
        let mut passed = listenfd::ListenFd::from_env();
        let failed = |e: std::io::Error| Error::io("use the socket that the service manager passed", &e);
        let Some(std_listener) = passed.take_unix_listener(0).map_err(failed)? else { return Ok(None) };
        std_listener.set_nonblocking(true).map_err(failed)?;
        let fd = std::os::fd::OwnedFd::from(std_listener);
        let listener = interprocess::os::unix::uds_local_socket::tokio::Listener::try_from(fd).map_err(failed)?;
        Ok(Some(Self { listener: listener.into(), path: paths.socket_path(), made: None }))
    }

    /// The next client.
    ///
    /// # Errors
    /// The system's own, for example when there are too many open files; worth trying again.
    pub async fn accept(&self) -> std::io::Result<Stream> {
        self.listener.accept().await
    }

    /// Whether clients still find us under the path.
    pub fn is_found(&self) -> bool {
        self.made.is_none() || self.made == inode(&self.path)
    }

    /// Lets nobody in any more: connecting is refused from now on. The file goes with the returned value.
    pub fn close(self) -> Leftover {
        Leftover { path: self.path, made: self.made }
    }
}

/// The socket's file, after its listener: removed on drop, if it is still the one that we made.
pub struct Leftover {
    path: PathBuf,
    made: Option<Inode>,
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if self.made.is_some() && self.made == inode(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
fn inode(path: &std::path::Path) -> Option<Inode> {
    use std::os::unix::fs::MetadataExt;
    let seen = std::fs::symlink_metadata(path).ok()?;
    Some(Inode { device: seen.dev(), number: seen.ino() })
}

#[cfg(not(unix))]
fn inode(_: &std::path::Path) -> Option<Inode> {
    None
}

/// The folder is 0700 and the process's umask 077, so that there is no moment in which others could connect.
#[cfg(unix)]
fn owner_only(options: ListenerOptions<'_>) -> std::io::Result<ListenerOptions<'_>> {
    Ok(options)
}

/// Full access to the owner and the system, none to anybody else: the default lets everybody read.
#[cfg(windows)]
fn owner_only(options: ListenerOptions<'_>) -> std::io::Result<ListenerOptions<'_>> {
    use interprocess::os::windows::local_socket::ListenerOptionsExt;
    use interprocess::os::windows::security_descriptor::SecurityDescriptor;
    let rights = widestring::u16cstr!("D:P(A;;GA;;;OW)(A;;GA;;;SY)");
    Ok(options.security_descriptor(SecurityDescriptor::deserialize(rights)?))
}
