//! Compaction: names that were deleted long ago are forgotten, and what only they reached goes with them, in one
//! transaction. Room that the rows took is the server's to give back. Tables and snapshots of the server's own that
//! nobody names any more go, too.

use roaring::RoaringBitmap;

use super::erase::stray_tables;
use super::store::Store;
use super::truth::Reader;
use super::verify::Moves;
use super::{feedback, live, postings, row, sql, vectors};
use crate::clock;
use crate::engine::history::lives::{Life, Reaching, Unreached, forgotten, lives};
use crate::engine::history::rows::{CommitRow, Reply, bitmap_bytes, pending};
use crate::engine::history::{Past, Truth};
use crate::error::Result;
use crate::model::{Compacted, Time};

const COMMITS_AT_ONCE: u32 = 1_000;
/// A native snapshot that is younger may be about to be named.
const NATIVE_AGE_MIN_S: u32 = 3_600;

impl Store {
    /// Forgets what no name has reached since `before`.
    pub fn compact(&self, before: Time) -> Result<Compacted> {
        self.drop_orphans(NATIVE_AGE_MIN_S)?;
        let marks_until = clock::now().plus_ms(-Reply::MARK_KEPT_MS);
        let is_due = self.reading(|reader| {
            let deleted = reader.first(sql::WAS_DELETED, vec![before.0.into()])?.is_some();
            Ok(deleted || reader.first(sql::HAS_OLD_MARKS, vec![marks_until.0.into()])?.is_some())
        })?;
        if !is_due {
            return Ok(Compacted::default());
        }
        let (compacted, tables) = self.alone(&self.patient()?, |ground| {
            let (names, kept) = forgotten(lives(Moves::of(ground))?, before);
            let gone = unreached(ground, &kept)?;
            forget_rows(ground, &gone)?;
            names.iter().try_for_each(|life| forget_name(ground, life))?;
            let marks = ground.run(sql::DELETE_MARKS, vec![marks_until.0.into()])?;
            let compacted = Compacted {
                versions: gone.versions.len() as u32,
                commits: gone.commits.len() as u32,
                names: names.iter().filter(|life| life.is_deleted()).count() as u32,
                marks: marks as u32,
                ..Compacted::default()
            };
            Ok((compacted, stray_tables(ground)?))
        })?;
        self.drop_tables(&tables)?;
        Ok(compacted)
    }
}

impl Store {
    /// How many versions no name reaches. Others may write meanwhile: what is newer than the first look is left out.
    pub fn unreachable(&self) -> Result<u32> {
        let gone = self.reading(|reader| reader.names(sql::NAMES_GONE))?;
        self.unreachable.count(gone, || {
            self.patient()?.read(|session| {
                let reader = self.as_of_now(session)?;
                let (_, kept) = forgotten(lives(Moves::of(&reader))?, Time::MAX);
                Ok(unreached(&reader, &kept)?.versions.len() as u32)
            })
        })
    }
}

/// What neither a name that is kept nor a merge in progress leads to.
fn unreached(ground: &Reader, kept: &[Life]) -> Result<Unreached> {
    let mut roots = RoaringBitmap::new();
    kept.iter().for_each(|life| roots |= &life.stood_at);
    for found in ground.rows(sql::EVERY_PENDING, vec![])? {
        let (_, record): (String, Vec<u8>) = row(found)?;
        roots.extend(ground.number_of(pending(&record)?.theirs)?);
    }
    let mut reaching = Reaching::from(roots);
    let mut below = u64::from(ground.next().commit);
    loop {
        let some = ground.rows(sql::COMMITS_BELOW, vec![below.into(), COMMITS_AT_ONCE.into()])?;
        let is_last = some.len() < COMMITS_AT_ONCE as usize;
        for found in some {
            let (number, record): (u32, Vec<u8>) = row(found)?;
            let commit = CommitRow::decode(&record)?;
            reaching.commit(number, commit.place.parents, commit.delta(|| ground.wide(number))?.added);
            below = u64::from(number);
        }
        if is_last {
            return Ok(reaching.done());
        }
    }
}

fn forget_rows(ground: &Reader, gone: &Unreached) -> Result<()> {
    for table in ["commits", "wide", "states", "touches"] {
        for part in live::parts_of("number", &gone.commits) {
            ground.with(|session| session.text(&sql::delete_from(table, &part)))?;
        }
    }
    for part in live::parts(&gone.versions) {
        ground.with(|session| session.text(&sql::delete_from("versions", &part)))?;
    }
    ground.with(|session| postings::forget(session, &gone.versions))?;
    ground.with(|session| vectors::forget(session, &gone.versions))?;
    if !gone.versions.is_empty() {
        feedback::forget_gone(ground)?;
    }
    if !gone.commits.is_empty() {
        ground.run(sql::PUT_ERASED, vec![bitmap_bytes(&(&*ground.erased() - &gone.versions))?.into()])?;
        ground.run(sql::RAISE, vec![])?;
    }
    Ok(())
}

/// The moves of a life, and where its name stands, if that is its end.
fn forget_name(ground: &Reader, life: &Life) -> Result<()> {
    let [(from, from_seq), (until, until_seq)] = life.moves;
    let name = life.name.as_str();
    let values = vec![
        name.into(),
        from.0.into(),
        from.0.into(),
        from_seq.into(),
        until.0.into(),
        until.0.into(),
        until_seq.into(),
    ];
    ground.run(sql::DELETE_MOVES, values)?;
    ground.run(sql::DELETE_NAME, vec![name.into(), until.0.into(), until_seq.into()]).map(drop)
}
