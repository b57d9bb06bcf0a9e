//! What was added where, and what stood there before: one file in the state folder, with a copy of every file that was
//! touched beside it. It is written before the file that it tells of, so that whatever ends us, nothing is forgotten.
//! Of the copies stay those that taking back needs, and the newest hundred for people.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::edit::{Edit, Past};
use super::files;
use crate::error::{Error, Result};

/// Copies that are kept for people to look at, besides those that are needed.
const COPIES_MAX: usize = 100;

/// Everything that is set up on this machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Where the home folder was when this was written, links followed: it may be moved.
    #[serde(default)]
    pub home: Option<PathBuf>,
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

/// What is known of a file before anything of ours was in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// There was none.
    Absent,
    Text(String),
    /// The copy is gone: somebody cleared the folder.
    Lost,
}

impl Written {
    pub fn past(&self) -> Past<'_> {
        match self {
            Self::Absent => Past::Absent,
            Self::Text(text) => Past::Text(text),
            Self::Lost => Past::Unknown,
        }
    }
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

    /// The same, for a home folder that is in another place now. One that is still where it was has not been moved.
    fn in_home(mut self, home: &Path) -> Self {
        let home = fs::canonicalize(home).unwrap_or_else(|_| home.to_owned());
        if let Some(old) = self.home.replace(home.clone())
            && old != home
            && !old.exists()
        {
            let moved = |path: &mut PathBuf| {
                if let Ok(rest) = path.strip_prefix(&old) {
                    *path = home.join(rest);
                }
            };
            for entry in &mut self.files {
                moved(&mut entry.file);
                entry.project.iter_mut().for_each(moved);
                entry.folders.iter_mut().for_each(moved);
            }
        }
        self
    }
}

impl Ledger {
    /// Only to look: waits for nobody, makes nothing.
    ///
    /// # Errors
    /// As [`Record::read`].
    pub fn look(folder: &Path, home: &Path) -> Result<Self> {
        let record = Record::read(folder)?.in_home(home);
        Ok(Self { folder: folder.to_owned(), stamp: String::new(), record, _lock: None })
    }

    /// Waits for whoever else is at it. `stamp` goes into the names of copies.
    ///
    /// # Errors
    /// As [`Record::read`]; whatever making a folder gives.
    pub fn open(folder: &Path, home: &Path, stamp: &str) -> Result<Self> {
        let failed = |e: std::io::Error| Error::io(format_args!("use {}", folder.display()), &e);
        fs::create_dir_all(folder.join("copies")).map_err(failed)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(folder.join("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            stamp: stamp.to_owned(),
            record: Record::read(folder)?.in_home(home),
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

    /// Removes the oldest copies beyond the newest hundred, but none that taking something back needs.
    ///
    /// # Errors
    /// Whatever listing or removing gives; the next run tries again.
    pub fn prune(&self) -> Result<()> {
        let folder = self.folder.join("copies");
        let failed = |e: std::io::Error| Error::io(format_args!("clear old copies out of {}", folder.display()), &e);
        let entries = fs::read_dir(&folder).map_err(failed)?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<std::io::Result<Vec<String>>>().map_err(failed)?;
        // A name opens with its time.
        names.sort_unstable();
        let is_needed = |name: &String| self.record.files.iter().any(|entry| entry.before.as_ref() == Some(name));
        let old = names.len().saturating_sub(COPIES_MAX);
        for name in names[..old].iter().filter(|name| !is_needed(name)) {
            fs::remove_file(folder.join(name)).map_err(failed)?;
        }
        Ok(())
    }

    pub fn copy(&self, name: &str) -> PathBuf {
        self.folder.join("copies").join(name)
    }

    /// The file without anything of ours.
    ///
    /// # Errors
    /// Whatever reading the copy gives.
    pub fn before(&self, entry: &Entry) -> Result<Written> {
        let Some(name) = &entry.before else { return Ok(Written::Absent) };
        Ok(files::read(&self.copy(name))?.map_or(Written::Lost, Written::Text))
    }
}

/// Text and the edits that are to be taken out of it, the last one first. `Ok(None)`: no file is left.
///
/// # Errors
/// As [`Edit::remove`].
pub fn without(text: &str, edits: &[&Edit], past: Past<'_>) -> Result<Option<String>> {
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
