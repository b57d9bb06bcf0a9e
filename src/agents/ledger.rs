//! What was added where, and what stood there before: one file in the state folder, with a copy of every file that was
//! touched beside it. It is written before the file that it tells of, so that whatever ends us, nothing is forgotten.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::edit::{Edit, Past};
use super::files;
use crate::error::{Error, Result};

/// Everything that is set up on this machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub files: Vec<Entry>,
    /// Whether the service at login was put there by `memoria init`.
    #[serde(default)]
    pub service: bool,
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Links followed.
    pub file: PathBuf,
    /// The copy (a name in the folder of copies) of the file without anything of ours; `None`: there was no file.
    pub before: Option<String>,
    /// BLAKE3 of the file as we left it, in hex.
    pub after: String,
    pub owned: Vec<Owned>,
    /// The project whose file it is; `None`: it is for every session of the user.
    #[serde(default)]
    pub project: Option<PathBuf>,
    /// The folders that were made for it, outermost first.
    pub folders: Vec<PathBuf>,
}

/// An edit, and the agent that it was made for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Owned {
    pub agent: String,
    pub edit: Edit,
}

/// The record, and where it is kept. With the lock held, there is one `init` or `uninstall` at a time.
pub struct Ledger {
    folder: PathBuf,
    /// When this began, as the names of copies say it.
    stamp: String,
    pub record: Record,
    /// `None`: only looked at.
    _lock: Option<File>,
}

pub fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

impl Record {
    /// As it stands on disk, without waiting for anybody; `folder` is `state/agents`.
    ///
    /// # Errors
    /// `Corrupt`, with what to do, where it cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("ledger.json");
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|e| {
                Error::corrupt(format!(
                    "{} cannot be read ({e}): move it away. `memoria init` then starts anew, and the copies of what \
                     was before stay in {}",
                    path.display(),
                    folder.join("copies").display()
                ))
            }),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(Error::io(format_args!("read {}", path.display()), &e)),
        }
    }

    pub fn entry(&self, file: &Path) -> Option<&Entry> {
        self.files.iter().find(|entry| entry.file == file)
    }
}

impl Ledger {
    /// Only to look: waits for nobody, makes nothing.
    ///
    /// # Errors
    /// As [`Record::read`].
    pub fn look(folder: &Path) -> Result<Self> {
        let record = Record::read(folder)?;
        Ok(Self { folder: folder.to_owned(), stamp: String::new(), record, _lock: None })
    }

    /// Waits for whoever else is at it. `stamp` goes into the names of copies.
    ///
    /// # Errors
    /// As [`Record::read`]; whatever making a folder gives.
    pub fn open(folder: &Path, stamp: &str) -> Result<Self> {
        let failed = |e: std::io::Error| Error::io(format_args!("use {}", folder.display()), &e);
        fs::create_dir_all(folder.join("copies")).map_err(failed)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(folder.join("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            stamp: stamp.to_owned(),
            record: Record::read(folder)?,
            _lock: Some(lock),
        })
    }

    /// # Errors
    /// Whatever writing gives; the record on disk is then the one of before.
    pub fn save(&self) -> Result<()> {
        let path = self.folder.join("ledger.json");
        let text = serde_json::to_string_pretty(&self.record)
            .map_err(|e| Error::invalid(format!("a path cannot be written down: {e}")))?;
        private(&self.folder.join("ledger.json.new"), &(text + "\n"))?;
        fs::rename(self.folder.join("ledger.json.new"), &path)
            .map_err(|e| Error::io(format_args!("write {}", path.display()), &e))
    }

    /// Keeps a copy; gives its name.
    ///
    /// # Errors
    /// Whatever writing gives.
    pub fn keep(&self, file: &Path, text: &str) -> Result<String> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        // The hash tells two files of one name apart, and makes the same copy the same file.
        let name = format!("{}-{}-{}", self.stamp, &hash(&format!("{}\0{text}", file.display()))[..8], name);
        private(&self.copy(&name), text)?;
        Ok(name)
    }

    pub fn copy(&self, name: &str) -> PathBuf {
        self.folder.join("copies").join(name)
    }

    /// The file without anything of ours, as text; `None`: there was none.
    ///
    /// # Errors
    /// `Corrupt` where the copy is gone.
    pub fn before(&self, entry: &Entry) -> Result<Option<String>> {
        let Some(name) = &entry.before else { return Ok(None) };
        match files::read(&self.copy(name))? {
            Some(text) => Ok(Some(text)),
            None => Err(Error::corrupt(format!("the copy {} is gone", self.copy(name).display()))),
        }
    }
}

/// Text and the edits that are to be taken out of it, the last one first. `Ok(None)`: no file is left.
///
/// # Errors
/// As [`Edit::remove`].
pub fn without(text: &str, edits: &[&Edit], before: Option<&str>) -> Result<Option<String>> {
    // After this the file is what it was, or what a person made of it since.
    let past = before.map_or(Past::Absent, Past::Text);
    edits.iter().rev().try_fold(Some(text.to_owned()), |left, edit| match left {
        Some(left) => edit.remove(&left, past),
        None => Ok(None),
    })
}

/// Copies may hold what others must not read: the settings of agents hold keys.
fn private(path: &Path, text: &str) -> Result<()> {
    let failed = |e| Error::io(format_args!("write {}", path.display()), &e);
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}
