//! Where everything lies: config, data, state and runtime folders, and the few files with fixed names in them.
//! `MEMORIA_HOME` puts all four under one folder; otherwise they are the platform's own.
//! It makes folders and judges whether they are safe to use; it never opens what is inside.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The longest socket path that the system takes, in bytes, without the closing NUL.
const SOCKET_PATH_BYTES_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The digit is the protocol's major version: different ones never meet.
const SOCKET_NAME: &str = "memoriad-1.sock";

/// The four folders. Everything else is a file with a fixed name in one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The config file, and nothing of ours besides.
    pub config_dir: PathBuf,
    /// The store and its lock.
    pub data_dir: PathBuf,
    /// Logs.
    pub state_dir: PathBuf,
    /// The socket and the lock of those who start a daemon. May vanish at a reboot.
    pub runtime_dir: PathBuf,
}

/// What the folders follow from; tests make their own.
struct Surroundings {
    memoria_home: Option<OsString>,
    xdg_runtime_dir: Option<OsString>,
    /// `/run/user/<uid>` where the system made one.
    system_runtime_dir: Option<PathBuf>,
    /// Config, data and state folders as the platform has them; `None` without a home folder.
    platform: Option<[PathBuf; 3]>,
    uid: u32,
}

impl Paths {
    /// From the environment of this process. Touches no file of ours.
    pub fn from_env() -> Result<Self> {
        let uid = effective_uid();
        // An agent may start us without XDG_RUNTIME_DIR (the MCP SDKs pass HOME, PATH and little else), and must
        // meet the same daemon all the same: so the folder that systemd makes is looked for by name.
        let system_runtime_dir =
            Some(PathBuf::from(format!("/run/user/{uid}"))).filter(|dir| cfg!(target_os = "linux") && dir.is_dir());
        let platform = directories::ProjectDirs::from("dev.memoria", "", "memoria").map(|dirs| {
            let data = dirs.data_local_dir().to_path_buf();
            let state = dirs.state_dir().map_or_else(|| data.clone(), Path::to_path_buf);
            [dirs.config_dir().to_path_buf(), data, state]
        });
        Self::new(Surroundings {
            memoria_home: std::env::var_os("MEMORIA_HOME").filter(|home| !home.is_empty()),
            xdg_runtime_dir: std::env::var_os("XDG_RUNTIME_DIR"),
            system_runtime_dir,
            platform,
            uid,
        })
    }

    /// As they would be with `MEMORIA_HOME` set to this folder.
    ///
    /// # Errors
    /// When the folder cannot be told from here, for want of a working directory.
    pub fn in_home(home: &Path) -> Result<Self> {
        Self::new(Surroundings {
            memoria_home: Some(home.into()),
            xdg_runtime_dir: None,
            system_runtime_dir: None,
            platform: None,
            uid: effective_uid(),
        })
    }

    fn new(from: Surroundings) -> Result<Self> {
        if let Some(home) = &from.memoria_home {
            let home = std::path::absolute(home)
                .map_err(|e| Error::io(format_args!("use MEMORIA_HOME={}", home.to_string_lossy()), &e))?;
            let in_home = home.join("run");
            let runtime_dir = if fits_a_socket(&in_home) { in_home } else { short_runtime_dir(&from, Some(&home)) };
            return Ok(Self {
                config_dir: home.join("config"),
                data_dir: home.join("data"),
                state_dir: home.join("state"),
                runtime_dir,
            });
        }
        let [config_dir, data_dir, state_dir] = from.platform.clone().ok_or_else(|| {
            Error::invalid("this user has no home folder: set HOME, or MEMORIA_HOME to a folder for everything")
        })?;
        let runtime_dir = if cfg!(unix) {
            let given = from.xdg_runtime_dir.as_ref().map(PathBuf::from).filter(|dir| dir.is_absolute());
            let session = given.or_else(|| from.system_runtime_dir.clone()).map(|dir| dir.join("memoria"));
            session.filter(|dir| fits_a_socket(dir)).unwrap_or_else(|| short_runtime_dir(&from, None))
        } else {
            data_dir.join("run")
        };
        Ok(Self { config_dir, data_dir, state_dir, runtime_dir })
    }

    /// The settings of the user; may be absent.
    pub fn config_file(&self) -> PathBuf {
        self.config_dir.join("config.toml")
    }

    /// The Unix socket, or the whole name of the pipe on Windows (which lies in no folder, and is told apart by
    /// the data folder: it is the user's own, and one under each `MEMORIA_HOME`).
    pub fn socket_path(&self) -> PathBuf {
        if cfg!(windows) {
            PathBuf::from(format!(r"\\.\pipe\memoria-{}-1", short_hash(&self.data_dir)))
        } else {
            self.runtime_dir.join(SOCKET_NAME)
        }
    }

    /// Held by the daemon for its life, never deleted. Beside the store, because it protects the store.
    pub fn lock_file(&self) -> PathBuf {
        self.data_dir.join("memoria.lock")
    }

    /// Held by whoever is starting a daemon.
    pub fn start_lock_file(&self) -> PathBuf {
        self.runtime_dir.join("start.lock")
    }

    /// Truth.
    pub fn store_file(&self) -> PathBuf {
        self.data_dir.join("memoria.redb")
    }

    /// Memories that wait for a server that is away.
    pub fn waiting_file(&self) -> PathBuf {
        self.data_dir.join("waiting.queue")
    }

    /// Memories that waited, and that the server refused for good.
    pub fn refused_file(&self) -> PathBuf {
        self.data_dir.join("refused.queue")
    }

    /// Derived data: may be deleted while no daemon runs.
    pub fn index_folder(&self) -> PathBuf {
        self.data_dir.join("index")
    }

    /// Vectors by version, one folder for each model: derived, but long to make.
    pub fn vectors_folder(&self) -> PathBuf {
        self.data_dir.join("vectors")
    }

    /// Vectors by the hash of their text. May be deleted while no daemon runs.
    pub fn vector_cache_folder(&self) -> PathBuf {
        self.data_dir.join("cache")
    }

    /// Where models are installed, unless the settings say otherwise.
    pub fn models_folder(&self) -> PathBuf {
        self.data_dir.join("models")
    }

    /// Which model was chosen, and which one serves.
    pub fn embedding_file(&self) -> PathBuf {
        self.state_dir.join("embedding")
    }

    /// On which branch each session is.
    pub fn checkouts_file(&self) -> PathBuf {
        self.state_dir.join("checkouts")
    }

    /// What `memoria init` added to which file, and copies of what was there before.
    pub fn agents_folder(&self) -> PathBuf {
        self.state_dir.join("agents")
    }

    /// One file a day.
    pub fn log_dir(&self) -> PathBuf {
        self.state_dir.join("logs")
    }

    /// Makes the folders (0700) and refuses those that others could reach: a memory is for its user's eyes.
    ///
    /// # Errors
    /// `Denied` with what is wrong and the command that mends it.
    pub fn prepare(&self) -> Result<()> {
        prepare_folder(&self.config_dir, Keep::FromWriters, effective_uid())?;
        for dir in [&self.data_dir, &self.state_dir, &self.runtime_dir, &self.log_dir()] {
            prepare_folder(dir, Keep::FromEverybody, effective_uid())?;
        }
        Ok(())
    }
}

/// How private a folder must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// Nobody else may write, and a link is fine: people keep their settings in a repository and link to it.
    FromWriters,
    /// Nobody else may even enter, and it must be a folder itself.
    FromEverybody,
}

fn fits_a_socket(dir: &Path) -> bool {
    cfg!(windows) || dir.join(SOCKET_NAME).as_os_str().len() <= SOCKET_PATH_BYTES_MAX
}

/// In `/tmp`, not `$TMPDIR`: that one differs between shells, and a daemon is found by its path. Its owner is checked
/// by [`Paths::prepare`], and the peer on every connection.
fn short_runtime_dir(from: &Surroundings, of: Option<&Path>) -> PathBuf {
    let name = match of {
        Some(home) => format!("memoria-{}-{}", from.uid, short_hash(home)),
        None => format!("memoria-{}", from.uid),
    };
    Path::new("/tmp").join(name)
}

fn short_hash(path: &Path) -> String {
    blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex()[..16].to_owned()
}

#[cfg(unix)]
fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Folders of a Windows profile are the user's own by their inherited rights.
#[cfg(not(unix))]
fn effective_uid() -> u32 {
    0
}

fn prepare_folder(dir: &Path, keep: Keep, uid: u32) -> Result<()> {
    let seen = match std::fs::symlink_metadata(dir) {
        Ok(seen) => seen,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            make_folder(dir)?;
            std::fs::symlink_metadata(dir).map_err(|e| Error::io(format_args!("look at {}", dir.display()), &e))?
        }
        Err(e) => return Err(Error::io(format_args!("look at {}", dir.display()), &e)),
    };
    let seen = match keep {
        Keep::FromWriters if seen.is_symlink() => {
            std::fs::metadata(dir).map_err(|e| Error::io(format_args!("follow the link {}", dir.display()), &e))?
        }
        _ => seen,
    };
    let shown = dir.display();
    if seen.is_symlink() {
        return Err(Error::denied(format!(
            "{shown} is a symbolic link, and Memoria keeps memories only in real folders of their user: \
             remove the link, or set MEMORIA_HOME to the folder that it leads to"
        )));
    }
    if !seen.is_dir() {
        return Err(Error::denied(format!(
            "{shown} is a file where Memoria needs a folder: move it away, for example `mv {shown} {shown}.old`"
        )));
    }
    judge_rights(dir, &seen, keep, uid)
}

fn make_folder(dir: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|e| {
        let mut error = Error::io(format_args!("make the folder {}", dir.display()), &e);
        error.message.push_str(". Make it yourself, or set MEMORIA_HOME to a folder where you may write");
        error
    })
}

#[cfg(unix)]
fn judge_rights(dir: &Path, seen: &std::fs::Metadata, keep: Keep, uid: u32) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let (shown, mode) = (dir.display(), seen.mode() & 0o7777);
    if seen.uid() != uid {
        return Err(Error::denied(format!(
            "{shown} belongs to user {}, not to you (user {uid}): `sudo chown -R {uid} {shown}`, or remove it",
            seen.uid()
        )));
    }
    let (forbidden, others) = match keep {
        Keep::FromWriters => (0o022, "write to"),
        Keep::FromEverybody => (0o077, "reach"),
    };
    if mode & forbidden != 0 {
        let fix = if keep == Keep::FromWriters { "go-w" } else { "700" };
        return Err(Error::denied(format!(
            "other users can {others} {shown} (its mode is {mode:o}): run `chmod {fix} {shown}`"
        )));
    }
    if mode & 0o700 != 0o700 && keep == Keep::FromEverybody {
        return Err(Error::denied(format!(
            "you may not write in {shown} (its mode is {mode:o}): run `chmod 700 {shown}`"
        )));
    }
    let wanted = match keep {
        Keep::FromWriters => rustix::fs::Access::READ_OK,
        Keep::FromEverybody => rustix::fs::Access::WRITE_OK,
    };
    rustix::fs::access(dir, wanted | rustix::fs::Access::EXEC_OK).map_err(|e| {
        let kind = if keep == Keep::FromWriters { "read" } else { "write in" };
        Error::denied(format!(
            "cannot {kind} {shown}: {}. Make it usable, or set MEMORIA_HOME to another folder",
            std::io::Error::from(e)
        ))
    })
}

#[cfg(not(unix))]
fn judge_rights(_: &Path, _: &std::fs::Metadata, _: Keep, _: u32) -> Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::error::ErrorKind;

    fn surroundings() -> Surroundings {
        Surroundings {
            memoria_home: None,
            xdg_runtime_dir: None,
            system_runtime_dir: None,
            platform: Some(
                ["/h/.config/memoria", "/h/.local/share/memoria", "/h/.local/state/memoria"].map(Into::into),
            ),
            uid: 1000,
        }
    }

    fn refusal(dir: &Path, uid: u32) -> String {
        let error = prepare_folder(dir, Keep::FromEverybody, uid).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied);
        error.message
    }

    #[test]
    fn memoria_home_holds_everything() {
        let paths = Paths::new(Surroundings { memoria_home: Some("/m".into()), ..surroundings() }).unwrap();
        assert_eq!(paths.config_file(), Path::new("/m/config/config.toml"));
        assert_eq!(paths.store_file(), Path::new("/m/data/memoria.redb"));
        assert_eq!(paths.log_dir(), Path::new("/m/state/logs"));
        assert_eq!(paths.socket_path(), Path::new("/m/run/memoriad-1.sock"));
    }

    #[test]
    fn platform_folders_serve_without_memoria_home() {
        let paths =
            Paths::new(Surroundings { xdg_runtime_dir: Some("/run/user/1000".into()), ..surroundings() }).unwrap();
        assert_eq!(paths.config_file(), Path::new("/h/.config/memoria/config.toml"));
        assert_eq!(paths.lock_file(), Path::new("/h/.local/share/memoria/memoria.lock"));
        assert_eq!(paths.log_dir(), Path::new("/h/.local/state/memoria/logs"));
        assert_eq!(paths.socket_path(), Path::new("/run/user/1000/memoria/memoriad-1.sock"));
    }

    #[test]
    fn a_cleared_environment_meets_the_same_daemon() {
        let shell = Surroundings { xdg_runtime_dir: Some("/run/user/1000".into()), ..surroundings() };
        let agent = Surroundings { system_runtime_dir: Some("/run/user/1000".into()), ..surroundings() };
        assert_eq!(Paths::new(shell).unwrap(), Paths::new(agent).unwrap());
    }

    #[test]
    fn without_a_session_the_runtime_folder_is_in_tmp() {
        let paths = Paths::new(surroundings()).unwrap();
        assert_eq!(paths.runtime_dir, Path::new("/tmp/memoria-1000"));
        let relative = Surroundings { xdg_runtime_dir: Some("run".into()), ..surroundings() };
        assert_eq!(Paths::new(relative).unwrap().runtime_dir, Path::new("/tmp/memoria-1000"));
    }

    #[test]
    fn a_home_too_long_for_a_socket_gets_a_short_runtime_folder() {
        let long =
            |c: &str| Surroundings { memoria_home: Some(format!("/{}", c.repeat(120)).into()), ..surroundings() };
        let (a, b) = (Paths::new(long("a")).unwrap(), Paths::new(long("b")).unwrap());
        assert!(a.socket_path().as_os_str().len() <= 103);
        assert_ne!(a.socket_path(), b.socket_path(), "two homes must not share a socket");
        assert!(a.data_dir.starts_with(format!("/{}", "a".repeat(120))));
    }

    #[test]
    fn no_home_folder_is_said_in_a_sentence() {
        let error = Paths::new(Surroundings { platform: None, ..surroundings() }).unwrap_err();
        assert!(error.message.contains("MEMORIA_HOME"), "{error}");
    }

    #[test]
    fn prepare_makes_private_folders_and_is_content_with_them() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::new(Surroundings { memoria_home: Some(home.path().into()), ..surroundings() }).unwrap();
        paths.prepare().unwrap();
        paths.prepare().unwrap();
        for dir in [&paths.config_dir, &paths.data_dir, &paths.state_dir, &paths.runtime_dir, &paths.log_dir()] {
            assert_eq!(std::fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700, "{}", dir.display());
        }
    }

    #[test]
    fn unsafe_folders_are_refused_with_the_command_that_mends_them() {
        let home = tempfile::tempdir().unwrap();
        let uid = effective_uid();
        let file = home.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(refusal(&file, uid).contains("`mv "));

        let link = home.path().join("link");
        symlink(home.path(), &link).unwrap();
        assert!(refusal(&link, uid).contains("symbolic link"));
        prepare_folder(&link, Keep::FromWriters, uid).unwrap();

        assert!(refusal(home.path(), uid + 1).contains("chown"));

        let open = home.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o755)).unwrap();
        assert!(refusal(&open, uid).contains("`chmod 700 "));
        prepare_folder(&open, Keep::FromWriters, uid).unwrap();
        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
        let error = prepare_folder(&open, Keep::FromWriters, uid).unwrap_err();
        assert!(error.message.contains("`chmod go-w "), "{error}");

        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o500)).unwrap();
        assert!(refusal(&open, uid).contains("may not write"));
    }
}
