//! The folder of models on disk: one folder for each, with a list of its files, put in place whole or not at all.
//! It fetches nothing and opens no model.
//!
//! What begins with a dot is not a model: `.lock` is held while something is installed or removed, `.fetch/NAME` is
//! where that happens; partial downloads stay there until they are complete.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::registry;
use crate::error::{Error, Result};

const LIST: &str = "installed.json";
const LOCK: &str = ".lock";
const STAGING: &str = ".fetch";

/// What stands in a model's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub name: String,
    pub folder: PathBuf,
    pub bytes: u64,
    /// 0 where it is not known, or makes no vectors.
    pub dims: u16,
    /// SPDX, where it is known.
    pub licence: Option<String>,
    /// What it was fetched from, and how; `None` for what somebody put there.
    pub from: Option<String>,
    /// Which pinned releases it was made of, and how.
    pub revision: Option<String>,
    /// What is wrong with it, as a sentence.
    pub problem: Option<String>,
}

/// What was written down when it was installed.
struct List {
    from: String,
    revision: String,
    files: Vec<Listed>,
}

/// A file as it was then.
struct Listed {
    name: String,
    bytes: u64,
    sha256: String,
}

/// A process that is being started has what its parent held until it becomes another program.
const PATIENCE: Duration = Duration::from_millis(500);

/// Keeps others from installing and removing until it is dropped.
pub struct Held {
    _file: File,
}

/// # Errors
/// `Conflict` while another process installs or removes; otherwise why the folder cannot be used.
pub fn hold(models: &Path) -> Result<Held> {
    make(models)?;
    let path = models.join(LOCK);
    let failed = |e: std::io::Error| Error::io(format_args!("open {}", path.display()), &e);
    let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
    let until = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Held { _file: file }),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(PATIENCE / 20),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::conflict(format!(
                    "another command is installing or removing a model in {}: wait until it is done",
                    models.display()
                )));
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
    }
}

/// Makes a folder, and those above it, for this user alone.
pub fn make(folder: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|e| Error::io(format_args!("make the folder {}", folder.display()), &e))
}

/// Removes a folder, if there is one.
pub fn clear(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format_args!("remove {}", folder.display()), &e))
        }
        _ => Ok(()),
    }
}

/// Where `name` is fetched and made ready. On the same disk as its place, so that it can be moved there.
pub fn staging(models: &Path, name: &str) -> PathBuf {
    models.join(STAGING).join(name)
}

/// Everything that is installed, by name.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn all(models: &Path) -> Result<Vec<Installed>> {
    let failed = |e: std::io::Error| Error::io(format_args!("read {}", models.display()), &e);
    let entries = match fs::read_dir(models) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().is_dir() {
            found.push(look(models, &name));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// One of them.
pub fn one(models: &Path, name: &str) -> Option<Installed> {
    let is_name = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
    (is_name && models.join(name).is_dir()).then(|| look(models, name))
}

/// Lengths are compared, not contents: this is asked often, and a model of 100 MB takes a second to read.
fn look(models: &Path, name: &str) -> Installed {
    let folder = models.join(name);
    let entry = registry::find(name);
    let mut installed = Installed {
        name: name.to_owned(),
        bytes: bytes_below(&folder),
        dims: entry.map_or(0, |entry| entry.dims),
        licence: entry.map(|entry| entry.licence.to_owned()),
        from: None,
        revision: None,
        problem: None,
        folder,
    };
    let files = match read_list(&installed.folder) {
        Ok(Some(list)) => {
            (installed.from, installed.revision) = (Some(list.from), Some(list.revision));
            list.files
        }
        Ok(None) if entry.is_some() => {
            installed.problem = Some(broken(name, "it was not put there by `memoria model install`"));
            return installed;
        }
        Ok(None) => return installed,
        Err(error) => {
            installed.problem = Some(broken(name, &error.message));
            return installed;
        }
    };
    installed.problem = files.iter().find_map(|file| {
        let what = match fs::metadata(installed.folder.join(&file.name)) {
            Ok(meta) if meta.len() == file.bytes => return None,
            Ok(meta) => format!("{} has {} bytes and should have {}", file.name, meta.len(), file.bytes),
            Err(e) => format!("{} cannot be read: {e}", file.name),
        };
        Some(broken(name, &what))
    });
    installed
}

fn broken(name: &str, why: &str) -> String {
    format!("{why}: `memoria model install {name}` mends it")
}

/// Whether every file is what was installed, byte for byte.
///
/// # Errors
/// When a file cannot be read.
pub fn is_whole(installed: &Installed) -> Result<bool> {
    let Ok(Some(list)) = read_list(&installed.folder) else { return Ok(false) };
    if installed.problem.is_some() {
        return Ok(false);
    }
    for file in list.files {
        if super::checksum::of(&installed.folder.join(&file.name))? != file.sha256 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `None` where there is none.
fn read_list(folder: &Path) -> Result<Option<List>> {
    let path = folder.join(LIST);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(format_args!("read {}", path.display()), &e)),
    };
    let read = || -> Option<List> {
        let list: Value = serde_json::from_str(&text).ok()?;
        let file = |file: &Value| {
            Some(Listed {
                name: file["name"].as_str()?.to_owned(),
                bytes: file["bytes"].as_u64()?,
                sha256: file["sha256"].as_str()?.to_owned(),
            })
        };
        let files = list["files"].as_array()?.iter().map(file).collect::<Option<_>>()?;
        let text = |field: &str| Some(list[field].as_str()?.to_owned());
        Some(List { from: text("from")?, revision: text("revision")?, files })
    };
    read().map(Some).ok_or_else(|| Error::corrupt(format!("{} is damaged", path.display())))
}

/// Lists the files of `ready`, makes them last, and moves the folder to its place in one step: a power cut leaves
/// either the whole of it or none. What had that name goes.
///
/// # Errors
/// When a file cannot be read, written or moved; the old one then stands as before.
pub fn put(models: &Path, name: &str, ready: &Path, from: &str, revision: &str) -> Result<Installed> {
    let failed = |e: std::io::Error| Error::io(format_args!("install {name} in {}", models.display()), &e);
    let mut files = Vec::new();
    let mut folders = vec![ready.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // For writing, since Windows makes only such a file last.
            let file = File::options().read(true).append(true).open(&path).map_err(failed)?;
            file.sync_all().map_err(failed)?;
            let inside = path.strip_prefix(ready).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            let bytes = file.metadata().map_err(failed)?.len();
            files.push(json!({"name": inside, "bytes": bytes, "sha256": super::checksum::of(&path)?}));
        }
        sync_folder(&folder).map_err(failed)?;
    }
    let list = ready.join(LIST);
    let text = format!("{:#}\n", json!({"name": name, "from": from, "revision": revision, "files": files}));
    fs::write(&list, text).map_err(failed)?;
    File::options().append(true).open(&list).and_then(|file| file.sync_all()).map_err(failed)?;
    sync_folder(ready).map_err(failed)?;
    replace(models, name, ready).map_err(failed)?;
    Ok(look(models, name))
}

/// A folder that is in the way cannot be replaced in one step: it steps aside first, and comes back if need be.
fn replace(models: &Path, name: &str, ready: &Path) -> std::io::Result<()> {
    let (place, aside) = (models.join(name), staging(models, name).join("old"));
    let _ = fs::remove_dir_all(&aside);
    let had_one = place.exists();
    if had_one {
        fs::rename(&place, &aside)?;
    }
    if let Err(e) = fs::rename(ready, &place) {
        if had_one {
            fs::rename(&aside, &place)?;
        }
        return Err(e);
    }
    sync_folder(models)
}

/// Removes what is installed under this name, with what an unfinished installation left. Its name goes first, so that
/// nobody meets half of it.
///
/// # Errors
/// `NotFound` when there is nothing; otherwise why it stays.
pub fn remove(models: &Path, name: &str) -> Result<u64> {
    let Some(installed) = one(models, name) else {
        return Err(Error::not_found(format!("{name} is not installed: `memoria model list` says what is")));
    };
    let staging = staging(models, name);
    make(&staging)?;
    let aside = staging.join("old");
    clear(&aside)?;
    fs::rename(&installed.folder, &aside)
        .map_err(|e| Error::io(format_args!("remove {}", installed.folder.display()), &e))?;
    clear(&staging)?;
    Ok(installed.bytes)
}

/// Of all files in a folder and below it; what cannot be read counts nothing.
pub fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Windows has no such call, and keeps a rename by itself.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}
