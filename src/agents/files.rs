//! Other programs' files on disk: read whole, written in one step with their rights kept, links followed to what they
//! lead to. A file that changed after it was read is not written.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Larger is no settings file.
const BYTES_MAX: u64 = 64 << 20;

/// The file that a path leads to, through links.
///
/// # Errors
/// `Invalid` for a link that leads nowhere: making its target is not ours to decide.
pub fn real(path: &Path) -> Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(real) => Ok(real),
        Err(e) if e.kind() == ErrorKind::NotFound && fs::symlink_metadata(path).is_ok() => {
            Err(Error::invalid("it is a link that leads nowhere: mend or remove it"))
        }
        // The file is to be made; its folder may be a link, or not be there either.
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(path.to_owned()) };
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            Ok(real(folder)?.join(name))
        }
        Err(e) => Err(Error::io(format_args!("look at {}", path.display()), &e)),
    }
}

/// The text; `None` where there is no such file.
///
/// # Errors
/// `Invalid` for what is no text of UTF-8, or too large; whatever reading gives.
pub fn read(path: &Path) -> Result<Option<String>> {
    let failed = |e: &std::io::Error| Error::io(format_args!("read {}", path.display()), e);
    match fs::metadata(path) {
        // A folder above may be a file by now.
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(failed(&e)),
        Ok(seen) if !seen.is_file() => return Err(Error::invalid("it is no file")),
        Ok(seen) if seen.len() > BYTES_MAX => return Err(Error::too_large("it is larger than any settings file")),
        Ok(_) => {}
    }
    let bytes = fs::read(path).map_err(|e| failed(&e))?;
    let text = String::from_utf8(bytes);
    text.map(Some).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::invalid(format!("line {line}: this is not UTF-8"))
    })
}

/// Writes the text in one step, if the file still says what it said.
///
/// # Errors
/// `Conflict` where it does not; whatever writing gives. The file is whole either way.
pub fn replace(path: &Path, before: Option<&str>, after: &str) -> Result<()> {
    let failed = |e: std::io::Error| Error::io(format_args!("write {}", path.display()), &e);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}.memoria-{}", std::process::id()));
    let written = (|| {
        let mut options = fs::File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        if let Ok(old) = fs::metadata(path) {
            use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
            options.mode(old.permissions().mode() & 0o777);
        }
        let mut file = options.open(&fresh).map_err(failed)?;
        file.write_all(after.as_bytes()).map_err(failed)?;
        // Exactly the old rights, whatever this process's mask takes away.
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions()).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        check(path, before)?;
        fs::rename(&fresh, path).map_err(failed)
    })();
    if written.is_err() {
        // What is left of the attempt; that it cannot be removed is no news beside why it failed.
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// Removes the file, if it still says what it said.
///
/// # Errors
/// As [`replace`].
pub fn remove(path: &Path, before: Option<&str>) -> Result<()> {
    check(path, before)?;
    fs::remove_file(path).map_err(|e| Error::io(format_args!("remove {}", path.display()), &e))
}

/// Whoever made a file read-only wants it as it is; writing would not notice, since it puts another file in its place.
///
/// # Errors
/// `Denied` where nobody may write the file.
pub fn check_writable(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(seen) if seen.permissions().readonly() => Err(Error::denied("it is read-only: make it writable first")),
        _ => Ok(()),
    }
}

fn check(path: &Path, before: Option<&str>) -> Result<()> {
    if read(path)?.as_deref() == before {
        return Ok(());
    }
    Err(Error::conflict("another program changed it at this moment: run the command again"))
}

/// The folders that are missing above this file, outermost first.
pub fn missing_folders(path: &Path) -> Vec<PathBuf> {
    let above = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    let mut missing: Vec<_> = above.take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
    missing.reverse();
    missing
}
