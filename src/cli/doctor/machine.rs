//! What the machine gives: folders, room on the disk, the clock. It needs no daemon.

use std::path::Path;

use crate::clock;
use crate::engine::matrixone::doctor::Finding;
use crate::error::Result;
use crate::paths::Paths;

use super::super::terminal::bytes;

/// Room on the disk, in bytes, below which it is worth a word, and below which writes will fail soon.
const ROOM_BYTES_WEAK: u64 = 1 << 30;
const ROOM_BYTES_BAD: u64 = 64 << 20;
/// A machine whose clock says an earlier day has forgotten what day it is.
const NOT_BEFORE: &str = "2026-01-01";

pub fn settings_name(file: &Path) -> String {
    if file.exists() { file.display().to_string() } else { "all as by default".to_owned() }
}

pub fn folders(paths: &Paths) -> Finding {
    match paths.prepare() {
        Ok(()) => Finding::good("folders", format!("yours alone; memories lie in {}", paths.data_dir.display())),
        Err(error) => Finding::bad("folders", error.message, "do what the sentence says, then try again"),
    }
}

pub fn room(paths: &Paths) -> Finding {
    match free(&paths.data_dir) {
        Ok(Some(free)) => {
            let found = format!("{} free where memories lie", bytes(free));
            match free {
                ..ROOM_BYTES_BAD => Finding::bad("disk", found, "make room: a full disk refuses every store"),
                ROOM_BYTES_BAD..ROOM_BYTES_WEAK => Finding::weak("disk", found, "make room soon"),
                _ => Finding::good("disk", found),
            }
        }
        Ok(None) => Finding::good("disk", format!("not measured on this system: {}", paths.data_dir.display())),
        Err(error) => Finding::weak("disk", error.message, "look at the disk yourself"),
    }
}

pub fn clock() -> Finding {
    let now = clock::rfc3339(clock::now());
    if now.as_str() < NOT_BEFORE {
        let found = format!("it says {now}: every memory would be of that day");
        return Finding::bad("clock", found, "set the clock: on Linux `sudo timedatectl set-ntp true`");
    }
    Finding::good("clock", now)
}

/// Bytes that may still be written there; `None` on a system that is not asked.
#[cfg(unix)]
fn free(folder: &Path) -> Result<Option<u64>> {
    match rustix::fs::statvfs(folder) {
        Ok(room) => Ok(Some(room.f_bavail.saturating_mul(room.f_frsize))),
        Err(error) => Err(crate::error::Error::io(format_args!("look at {}", folder.display()), &error.into())),
    }
}

#[cfg(not(unix))]
fn free(_: &Path) -> Result<Option<u64>> {
    Ok(None)
}
