//! Where the store's file comes from: how it is opened, how a fresh one beside it is made, and how that one takes its
//! place. It knows files and folders, and nothing of what is in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use redb::StorageBackend;
use redb::backends::FileBackend;

use crate::error::{Error, Result};

/// Gives the store's file, each time that it is opened; in tests, disks that fail.
pub trait Opener: Send + Sync + 'static {
    fn open(&self) -> Result<Box<dyn StorageBackend>>;

    /// An empty file beside the store's, in place of any that was left there.
    fn fresh(&self) -> Result<Box<dyn StorageBackend>>;

    /// The fresh file takes the store's place, durably and in one step; neither is open.
    fn replace(&self) -> Result<()>;

    /// Removes a fresh file that did not take the store's place.
    fn discard(&self) -> Result<()>;
}

/// A store in a file.
pub struct FileOpener {
    pub path: PathBuf,
}

impl FileOpener {
    fn beside(&self) -> PathBuf {
        self.path.with_extension("redb.new")
    }

    fn failed(&self, doing: &str) -> impl Fn(io::Error) -> Error {
        let what = format!("{doing} {}", self.path.display());
        move |source| Error::io(&what, &source)
    }
}

impl Opener for FileOpener {
    fn open(&self) -> Result<Box<dyn StorageBackend>> {
        backend(fs::File::options().read(true).write(true), &self.path)
    }

    fn fresh(&self) -> Result<Box<dyn StorageBackend>> {
        self.discard()?;
        backend(owner_only(fs::File::options().read(true).write(true).create_new(true)), &self.beside())
    }

    fn replace(&self) -> Result<()> {
        fs::rename(self.beside(), &self.path).map_err(self.failed("replace"))?;
        sync_folder(&self.path).map_err(self.failed("replace"))
    }

    fn discard(&self) -> Result<()> {
        match fs::remove_file(self.beside()) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(self.failed("tidy up beside")(source)),
            _ => Ok(()),
        }
    }
}

/// A storage that is asked for by a function; it has no place beside it.
pub struct Function<F>(pub F);

impl<B: StorageBackend, F: Fn() -> Result<B> + Send + Sync + 'static> Opener for Function<F> {
    fn open(&self) -> Result<Box<dyn StorageBackend>> {
        Ok(Box::new((self.0)()?))
    }

    fn fresh(&self) -> Result<Box<dyn StorageBackend>> {
        Err(Error::internal("this storage has no place for a second file: give the engine an `Opener`"))
    }

    fn replace(&self) -> Result<()> {
        Err(Error::internal("this storage has no place for a second file: give the engine an `Opener`"))
    }

    fn discard(&self) -> Result<()> {
        Ok(())
    }
}

fn backend(options: &fs::OpenOptions, path: &Path) -> Result<Box<dyn StorageBackend>> {
    let file = options.open(path).map_err(|source| Error::io(format!("open {}", path.display()), &source))?;
    Ok(Box::new(FileBackend::new(file)?))
}

#[cfg(unix)]
fn owner_only(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

/// A folder's own rights are what protects a file on other systems.
#[cfg(not(unix))]
fn owner_only(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    options
}

/// A renamed file survives a power cut only when its folder is synced too.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}
