//! Who is the daemon: the process that holds this lock. It is held until the process ends, and the file is never
//! deleted, since whoever deletes a lock file lets two processes hold "it".

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use super::announce::Failure;
use crate::error::Error;
use crate::paths::Paths;

const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The right to open the store of this data folder.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, and waits a moment for a holder that may be in its last milliseconds, or only looking.
    /// The file holds the process's id, for people and for the hand-over.
    pub fn take(paths: &Paths, patience: Duration) -> Result<Self, Failure> {
        let path = paths.lock_file();
        let failed = |e: &std::io::Error| {
            let mut error = Error::io(format_args!("lock {}", path.display()), e);
            if e.kind() == ErrorKind::Unsupported {
                error.message.push_str(". Network folders often cannot: set MEMORIA_HOME to a local folder");
            }
            Failure::Other(error)
        };
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(|e| failed(&e))?;
        let deadline = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(e)) => return Err(failed(&e)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOOK_AGAIN),
                Err(TryLockError::WouldBlock) => {
                    let who = holder(paths).map_or("another process".to_owned(), |pid| format!("process {pid}"));
                    return Err(Failure::LockHeld(format!(
                        "{who} serves {} already: `memoria status` shows it, `memoria stop` ends it",
                        paths.data_dir.display()
                    )));
                }
            }
        }
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()))
            .map_err(|e| failed(&e))?;
        Ok(Self { _file: file })
    }
}

/// Who wrote itself into the lock file last.
pub fn holder(paths: &Paths) -> Option<u32> {
    std::fs::read_to_string(paths.lock_file()).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_the_lock_and_the_file_stays() {
        let home = tempfile::tempdir().unwrap();
        let dir = |name: &str| home.path().join(name);
        let paths = Paths { config_dir: dir("c"), data_dir: dir("d"), state_dir: dir("s"), runtime_dir: dir("r") };
        std::fs::create_dir(&paths.data_dir).unwrap();
        let lock = Lock::take(&paths, Duration::ZERO).ok().unwrap();
        assert_eq!(holder(&paths), Some(std::process::id()));
        let Err(Failure::LockHeld(why)) = Lock::take(&paths, Duration::from_millis(20)) else { panic!() };
        assert!(why.contains(&std::process::id().to_string()), "{why}");
        drop(lock);
        assert!(paths.lock_file().exists());
        assert!(Lock::take(&paths, Duration::ZERO).is_ok());
    }
}
