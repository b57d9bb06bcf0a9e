//! Opening the store: what is recognised as ours, what is refused in a sentence, and what the engine starts from. A
//! file that is not our store is left as it was.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use redb::{Database, ReadableDatabase, StorageBackend};
use roaring::RoaringBitmap;

use super::super::disk::Disk;
use super::super::tables::{self, COMMITS, ERASED, FORMAT, META, Meta, NAMES, OPS, PENDING, Snapshot, VERSIONS};
use super::{Head, Heads, commit_row, let_go, next_number};
use crate::error::{Error, ErrorKind, Result};
use crate::model::NameKind;

const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

pub(super) struct Opened {
    pub database: Database,
    pub disk: Disk,
}

/// What the engine starts from.
pub(super) struct Beginning {
    pub meta: Meta,
    pub heads: Heads,
    pub erased: RoaringBitmap,
}

impl Beginning {
    pub fn read(name: &str, truth: &Snapshot) -> Result<Self> {
        let meta = meta_of(name, truth)?;
        let erased = truth.open(ERASED)?.get(())?.map(|row| tables::bitmap(row.value())).transpose()?;
        // Opened to see that they are there: a store without them is damaged.
        truth.open(OPS)?;
        truth.open(PENDING)?;
        // And a store that gives out numbers which nothing can have a place for.
        next_number(&truth.open(VERSIONS)?, meta.next_vid)?;
        next_number(&truth.open(COMMITS)?, meta.next_commit)?;
        Ok(Self { meta, heads: heads_of(truth)?, erased: erased.unwrap_or_default() })
    }
}

/// Opens the file, reads what the engine starts from, and makes `ready` for it. redb's panics on damaged pages become
/// the sentence that any other damage gets.
pub(super) fn open_database<T>(
    name: &str,
    below: Box<dyn StorageBackend>,
    cache_bytes: usize,
    header_writes: &Arc<AtomicU64>,
    ready: impl FnOnce(&Snapshot, &Beginning) -> Result<T>,
) -> Result<(Opened, Beginning, T)> {
    let io = |doing: &'static str| move |source| Error::io(format!("{doing} {name}"), &source);
    let is_new = is_empty(below.as_ref()).map_err(io("read"))?;
    if !is_new && !begins_as_redb(below.as_ref()) {
        return Err(foreign(name));
    }
    let disk = Disk::holding(below, Arc::clone(header_writes));
    let attempt = catch_unwind(AssertUnwindSafe(|| -> Result<_> {
        if is_new {
            disk.accept().map_err(io("write"))?;
        }
        let database = redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(disk.clone())?;
        if is_new {
            super::super::writer::initialise(&database)?;
        }
        let opened = Opened { database, disk };
        let begin = || {
            let truth = Snapshot(opened.database.begin_read()?);
            let beginning = Beginning::read(name, &truth)?;
            let ready = ready(&truth, &beginning)?;
            drop(truth);
            opened.disk.accept().map_err(io("write"))?;
            Ok((beginning, ready))
        };
        match begin() {
            Ok((beginning, ready)) => Ok((opened, beginning, ready)),
            Err(error) => {
                let_go(opened);
                Err(error)
            }
        }
    }));
    match attempt {
        Ok(Err(error)) if error.message.contains(name) => Err(error),
        Ok(Err(error)) if error.kind == ErrorKind::Corrupt => {
            // What to do about a record is not what to do about a store that cannot be opened.
            let why = error.message.split(". ").next().unwrap_or_default();
            Err(damaged(name, &format!(" ({})", why.trim_start_matches("the store is damaged: "))))
        }
        Ok(Err(error)) => Err(Error { message: format!("{name}: {}", error.message), ..error }),
        Ok(opened) => opened,
        Err(_panic) => Err(damaged(name, "")),
    }
}

fn damaged(name: &str, why: &str) -> Error {
    Error::corrupt(format!("{name} is damaged{why}: restore it from a backup, or move it away to begin anew."))
}

fn foreign(name: &str) -> Error {
    Error::corrupt(format!(
        "{name} is not a Memoria store, or its beginning is lost: restore it from a backup, or move it away to begin \
         anew."
    ))
}

fn meta_of(name: &str, truth: &Snapshot) -> Result<Meta> {
    let row = match truth.0.open_table(META) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Err(foreign(name)),
        table => table?.get(())?.map(|row| Meta::decode(row.value())).transpose()?,
    };
    let meta = row.ok_or_else(|| foreign(name))?;
    match meta.format {
        FORMAT => Ok(meta),
        format if format < FORMAT => Err(Error::corrupt(format!(
            "{name} was written by a preview of memoria (format {format}, this one reads {FORMAT}): list its \
             memories with the build that wrote it (`memoria list --limit 0 --json`), move the file away, and import \
             them."
        ))),
        format => Err(Error::corrupt(format!(
            "{name} was written by a newer memoria (format {format}, this one knows up to {FORMAT}): update memoria."
        ))),
    }
}

fn is_empty(file: &dyn StorageBackend) -> std::io::Result<bool> {
    Ok(file.len()? == 0)
}

fn begins_as_redb(file: &dyn StorageBackend) -> bool {
    let mut magic = [0; MAGIC.len()];
    file.read(0, &mut magic).is_ok() && magic == *MAGIC
}

/// Every living branch. No state is made for it.
fn heads_of(truth: &Snapshot) -> Result<Heads> {
    let commits = truth.open(COMMITS)?;
    let mut heads = Heads::new();
    for (name, last) in tables::every_name(&truth.open(NAMES)?)? {
        if last.is_living() && last.standing.kind == NameKind::Branch {
            let row = commit_row(&commits, last.standing.number)?;
            heads.insert(name, Arc::new(Head::of(&row, last)));
        }
    }
    if heads.is_empty() { Err(tables::damaged("it has no branch")) } else { Ok(heads) }
}
