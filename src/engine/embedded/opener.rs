//! Where the store's file comes from: how it is opened, how a fresh one beside it is made, and how that one takes its
//! place. It knows files and folders, and nothing of what is in them.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::positioned::sync_folder;
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

    /// The old file keeps a name of its own until its bytes are overwritten, so that a crash in between is made up for
    /// by `discard`. Overwriting reaches the old blocks on a plain disk and on most file systems; where new writes go
    /// elsewhere (an SSD's own mapping, btrfs, ZFS, APFS, snapshots, backups) nothing that a program does can.
    fn replace(&self) -> Result<()> {
        let failed = self.failed("replace");
        match fs::hard_link(&self.path, self.old()) {
            // The first store replaces nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!("the old store's bytes cannot be overwritten before they are let go: {error}"),
            Ok(()) => {}
        }
        fs::rename(self.beside(), &self.path).map_err(&failed)?;
        // A renamed file survives a power cut only when its folder is synced too.
        self.path.parent().map_or(Ok(()), sync_folder).map_err(&failed)?;
        self.remove_old()
    }

    fn discard(&self) -> Result<()> {
        self.remove_old()?;
        removed(&self.beside()).map_err(self.failed("tidy up beside"))
    }
}

impl FileOpener {
    fn old(&self) -> PathBuf {
        self.path.with_extension("redb.old")
    }

    /// What is left of a file that was replaced. Before it is, its second name is the store itself.
    fn remove_old(&self) -> Result<()> {
        let old = self.old();
        let beginning = |path: &Path| -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            fs::File::open(path)?.take(BEGINNING_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match (beginning(&old), beginning(&self.path)) {
            (Err(source), _) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
            (Ok(left), Ok(store)) if left != store => {
                if let Err(error) = overwrite(&old) {
                    tracing::warn!("the old store's bytes could not all be overwritten: {error}");
                }
            }
            _ => {}
        }
        removed(&old).map_err(self.failed("tidy up beside"))
    }
}

/// redb's header: no two files that were written apart have the same.
const BEGINNING_BYTES: u64 = 512;

fn overwrite(path: &Path) -> io::Result<()> {
    let file = fs::File::options().write(true).open(path)?;
    let len = file.metadata()?.len();
    let mut out = io::BufWriter::with_capacity(1 << 20, &file);
    io::copy(&mut io::repeat(0).take(len), &mut out)?;
    out.flush()?;
    file.sync_all()
}

fn removed(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(source),
        _ => Ok(()),
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

/// A file that is kept between openings, or an empty one.
pub fn kept(path: &Path) -> Result<Box<dyn StorageBackend>> {
    backend(owner_only(fs::File::options().read(true).write(true).create(true).truncate(false)), path)
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
