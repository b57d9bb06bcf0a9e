//! Fetches pinned files from the model hub over HTTP, continuing where an earlier try broke off. What is not the pinned
//! file is removed again. Which files, and what becomes of them, is not known here.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use super::checksum;
use super::folder;
use super::registry::{self, Hub};
use crate::embed::http::client::{Patience, Redirects, get};
use crate::error::{Error, ErrorKind, Result};

/// Where the hub is, unless `HF_ENDPOINT` says otherwise.
const ENDPOINT: &str = "https://huggingface.co";
/// Tries for one file, each continuing the one before.
const TRIES_MAX: u32 = 3;
const BUFFER_BYTES: usize = 1 << 16;
/// Where there is no way to the hub, that is known soon.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    silence: Duration::from_secs(30),
    total: Duration::from_secs(3 * 3_600),
};

/// The hub's address: of the environment, without a slash at its end. `None` where the person wants no hub.
pub fn endpoint() -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|text: &String| !text.trim().is_empty());
    if variable("HF_HUB_OFFLINE").is_some_and(|text| text != "0") {
        return None;
    }
    let address = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
    Some(address.trim().trim_end_matches('/').to_owned())
}

/// Fetches the files of `hub` into `folder`. `arrived` is told how many bytes there are, of how many.
///
/// # Errors
/// A sentence: nobody answers, the server refuses, what it sends is not what is pinned, the disk is full.
pub fn fetch(endpoint: &str, hub: &Hub, folder: &Path, arrived: &mut dyn FnMut(u64, u64)) -> Result<()> {
    let all: u64 = hub.files.iter().map(|file| file.bytes).sum();
    let mut before = 0;
    for file in hub.files {
        let url = format!("{endpoint}/{}/resolve/{}/{}", hub.repository, hub.revision, file.from);
        let place = folder.join(file.name);
        if !super::is_pinned(&place, file)? {
            if let Some(above) = place.parent() {
                folder::make(above)?;
            }
            one(&url, file, &place, &mut |bytes| arrived(before + bytes, all))?;
        }
        before += file.bytes;
    }
    Ok(())
}

/// One file, whole and as it is pinned, or not at all.
fn one(url: &str, file: &registry::File, place: &Path, arrived: &mut dyn FnMut(u64)) -> Result<()> {
    let part = place.with_added_extension("part");
    // Of an earlier time: a power cut may have spoilt it.
    let mut is_continued = has_begun(&part);
    let mut tries = 1;
    loop {
        match attempt(url, file, &part, arrived) {
            Ok(()) if checksum::of(&part)? == file.sha256 => break,
            Ok(()) => {
                discard(&part)?;
                if !std::mem::take(&mut is_continued) {
                    return Err(Error::corrupt(format!(
                        "what {url} sends is not the file that is pinned (its SHA-256 differs): it was removed again"
                    )));
                }
            }
            // What was written stays, and the next try continues it.
            Err(error) if error.kind == ErrorKind::Unavailable && has_begun(&part) && tries < TRIES_MAX => tries += 1,
            Err(error) => return Err(error),
        }
    }
    fs::rename(&part, place).map_err(|e| Error::io(format_args!("move {}", part.display()), &e))
}

fn has_begun(part: &Path) -> bool {
    fs::metadata(part).is_ok_and(|meta| meta.len() > 0)
}

fn discard(part: &Path) -> Result<()> {
    fs::remove_file(part).map_err(|e| Error::io(format_args!("remove {}", part.display()), &e))
}

/// One request, from what is there of the file to its end.
fn attempt(url: &str, file: &registry::File, part: &Path, arrived: &mut dyn FnMut(u64)) -> Result<()> {
    let failed = |e: std::io::Error| {
        let mut error = Error::io(format_args!("write {}", part.display()), &e);
        if error.kind == ErrorKind::Full {
            error.message.push_str(": make room and install again, which goes on there");
        }
        error
    };
    let mut out = File::options().create(true).append(true).open(part).map_err(failed)?;
    let mut have = out.metadata().map_err(failed)?.len();
    if have == file.bytes {
        return Ok(());
    }
    if have > file.bytes {
        out.set_len(0).map_err(failed)?;
        have = 0;
    }
    let range = format!("bytes={have}-");
    let headers: &[(&str, &str)] = if have > 0 { &[("Range", &range)] } else { &[] };
    let mut reply = get(url, headers, PATIENCE, Redirects::Follow)?;
    let begins = format!("bytes {have}-");
    match reply.status {
        206 if reply.header("content-range").is_some_and(|range| range.starts_with(&begins)) => {}
        // It does not continue: from the beginning.
        200 if have == 0 => {}
        200 => {
            out.set_len(0).map_err(failed)?;
            have = 0;
        }
        206 | 416 => {
            discard(part)?;
            return Err(Error::unavailable(format!("{url} does not continue where it was asked to: install again")));
        }
        status => return Err(Error::unavailable(format!("{url} answers with status {status}"))),
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    while have < file.bytes {
        let read = match reply.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) => return Err(Error::unavailable(format!("the connection to {url} broke: {e}"))),
        };
        have += read as u64;
        if have > file.bytes {
            discard(part)?;
            return Err(Error::corrupt(format!("{url} sends more than the {} bytes of the pinned file", file.bytes)));
        }
        out.write_all(&buffer[..read]).map_err(failed)?;
        arrived(have);
    }
    if have < file.bytes {
        return Err(Error::unavailable(format!(
            "{url} broke off after {have} of {} bytes: install again to continue there",
            file.bytes
        )));
    }
    Ok(())
}
