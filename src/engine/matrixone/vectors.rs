//! Vectors and the spaces that they belong to: what has none yet, keeping them, counting them, letting them go. Each
//! space has one table for all versions; branches know nothing of it. Vectors are kept as codes, as everywhere.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use memoria_kernel::quantise::{quantise, unit_scale};
use roaring::RoaringBitmap;

use super::session::Session;
use super::store::Store;
use super::truth::Reader;
use super::{live, row, sql};
use crate::engine::history::rows::damaged;
use crate::engine::history::{Past, Truth};
use crate::error::Result;
use crate::model::{Embedding, Filled, ModelId, Space, Unembedded, VersionId};

/// Numbers in one statement's vectors: about a megabyte.
const NUMBERS_MAX: usize = 250_000;
/// Of how many versions at a time it is asked whether they have a vector.
const ASKED_AT_ONCE: usize = 1_000;

/// Which versions are known to have a vector, by the number of the space: what was seen stays true until the space or
/// the version goes.
#[derive(Default)]
pub struct Known(Mutex<BTreeMap<u32, Seen>>);

#[derive(Default)]
struct Seen {
    upheavals: u64,
    have: RoaringBitmap,
    /// Those that nothing can be read of.
    blank: RoaringBitmap,
}

impl Known {
    fn seen(&self) -> MutexGuard<'_, BTreeMap<u32, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets it go.
    pub fn rest(&self) {
        self.seen().clear();
    }

    fn with<T>(&self, space: u32, upheavals: u64, see: impl FnOnce(&mut Seen) -> T) -> T {
        let mut all = self.seen();
        let seen = all.entry(space).or_default();
        if seen.upheavals != upheavals {
            *seen = Seen { upheavals, ..Seen::default() };
        }
        see(seen)
    }
}

impl Store {
    pub fn unembedded(&self, space: &Space, limit: u32) -> Result<Vec<Unembedded>> {
        self.reading(|reader| {
            let id = space_of(reader, space)?;
            let found = reader.first(sql::NEXT_VID, vec![])?.ok_or_else(|| damaged("`meta` is empty"))?;
            let (next,): (u32,) = row(found)?;
            // Without a table nothing is remembered: no space has the number 0.
            let number = id.unwrap_or(0);
            let mut missing = RoaringBitmap::new();
            missing.insert_range(0..next);
            missing -= &*reader.erased();
            missing -= self.vectors.with(number, reader.upheavals(), |seen| &seen.have | &seen.blank);
            let on_branches = reader.on_branches()? & &missing;
            let others = &missing - &on_branches;
            let mut newest = on_branches.iter().rev().chain(others.iter().rev());
            let mut found = Vec::new();
            while found.len() < limit as usize {
                let some: Vec<u32> = newest.by_ref().take(ASKED_AT_ONCE.min(limit as usize * 2)).collect();
                if some.is_empty() {
                    break;
                }
                let have = match id {
                    Some(id) => reader.having(id, &some.iter().copied().collect())?,
                    None => RoaringBitmap::new(),
                };
                self.vectors.with(number, reader.upheavals(), |seen| seen.have |= &have);
                let wanted: Vec<u32> = some.into_iter().filter(|vid| !have.contains(*vid)).collect();
                let wanted = &wanted[..wanted.len().min(limit as usize - found.len())];
                let versions = reader.whole(wanted.iter().copied())?;
                for vid in wanted {
                    match versions.iter().find(|(other, _)| other == vid) {
                        Some((_, version)) => {
                            let text = version.memory.text.clone();
                            found.push(Unembedded { slot: (*vid).into(), version: version.id, text });
                        }
                        None => drop(self.vectors.with(number, reader.upheavals(), |seen| seen.blank.insert(*vid))),
                    }
                }
            }
            Ok(found)
        })
    }

    pub fn embed(&self, space: &Space, vectors: &[Embedding]) -> Result<()> {
        space.check_dims()?;
        vectors.iter().try_for_each(|embedding| space.check(&embedding.vector))?;
        if vectors.is_empty() {
            return Ok(());
        }
        let id = self.space_or_new(space)?;
        let rows: Vec<(u32, VersionId, String)> = vectors
            .iter()
            .filter_map(|embedding| {
                let vid = u32::try_from(embedding.slot).ok()?;
                let (_, codes) = quantise(&embedding.vector);
                let codes = if unit_scale(&codes) == 0.0 { "null".to_owned() } else { format!("'{}'", text(&codes)) };
                Some((vid, embedding.version, codes))
            })
            .collect();
        for some in rows.chunks((NUMBERS_MAX / usize::from(space.dims)).max(1)) {
            // Whoever erases holds the lock that is taken here, so that nothing comes back.
            self.alone(&self.pool, |ground| ground.with(|session| keep(session, id, some)))?;
        }
        Ok(())
    }

    pub fn spaces(&self) -> Result<Vec<Filled>> {
        self.reading(|reader| {
            let on_branches = reader.on_branches()?;
            let filled = |(id, space): (u32, Space)| {
                let vectors = reader.count_of(id)?;
                let mut have = self.vectors.with(id, reader.upheavals(), |seen| seen.have.clone());
                if have.len() != u64::from(vectors) {
                    have = reader.all_having(id)?;
                    self.vectors.with(id, reader.upheavals(), |seen| seen.have |= &have);
                }
                let blank = self.vectors.with(id, reader.upheavals(), |seen| seen.blank.clone());
                let pending = (&on_branches - &have - &blank).len() as u32;
                let bytes = u64::from(vectors) * u64::from(space.dims) * 4;
                Ok(Filled { space, vectors, pending, bytes })
            };
            all_spaces(reader)?.into_iter().map(filled).collect()
        })
    }

    pub fn forget_space(&self, model: &ModelId) -> Result<()> {
        self.ready()?;
        let gone = self.alone(&self.pool, |ground| {
            let found = ground.rows(sql::SPACES_OF, vec![model.as_str().into()])?;
            let gone = found.into_iter().map(|found| row(found).map(|(id,)| id)).collect::<Result<Vec<u32>>>()?;
            ground.run(sql::DELETE_SPACES, vec![model.as_str().into()])?;
            Ok(gone)
        })?;
        for id in gone {
            self.pool.read(|session| session.text(&sql::drop_vectors(id)))?;
        }
        Ok(())
    }

    /// The number of a space. Its table is there before its row: making tables is no part of a transaction.
    fn space_or_new(&self, space: &Space) -> Result<u32> {
        if let Some(id) = self.reading(|reader| space_of(reader, space))? {
            return Ok(id);
        }
        let id = self.alone(&self.pool, |ground| Ok(ground.next_table()))?;
        self.pool.read(|session| session.text(&sql::create_vectors(id, space.dims)))?;
        let kept = self.alone(&self.pool, |ground| match ground.with(|session| find_space(session, space))? {
            Some(other) => Ok(other),
            None => {
                let values = vec![id.into(), space.model.as_str().into(), space.dims.into()];
                ground.run(sql::INSERT_SPACE, values).map(|_| id)
            }
        })?;
        if kept != id {
            self.pool.read(|session| session.text(&sql::drop_vectors(id)))?;
        }
        Ok(kept)
    }
}

/// Takes the vectors of versions that are being erased.
pub fn forget(session: &mut Session, vids: &RoaringBitmap) -> Result<()> {
    let found = session.rows(sql::SPACES, vec![])?;
    for found in found {
        let (id, _, _): (u32, String, u16) = row(found)?;
        for part in live::parts(vids) {
            session.text(&sql::delete_vectors(id, &part))?;
        }
    }
    Ok(())
}

/// Codes as the server reads them: numbers only.
pub fn text(codes: &[i8]) -> String {
    let numbers: Vec<String> = codes.iter().map(ToString::to_string).collect();
    format!("[{}]", numbers.join(","))
}

/// What the server wrote of so many codes.
pub fn codes(text: &str, dims: usize) -> Result<Vec<i8>> {
    let numbers = text.trim_start_matches('[').trim_end_matches(']').split(',');
    let codes: Option<Vec<i8>> = numbers.map(|number| number.trim().parse().ok()).collect();
    codes.filter(|codes| codes.len() == dims).ok_or_else(|| damaged("a vector cannot be read"))
}

/// The number of a space that has vectors.
pub fn space_of(reader: &Reader, space: &Space) -> Result<Option<u32>> {
    reader.with(|session| find_space(session, space))
}

fn find_space(session: &mut Session, space: &Space) -> Result<Option<u32>> {
    let found = session.first(sql::SPACE, vec![space.model.as_str().into(), space.dims.into()])?;
    found.map(|found| row(found).map(|(id,)| id)).transpose()
}

fn all_spaces(reader: &Reader) -> Result<Vec<(u32, Space)>> {
    let space = |found| {
        let (id, model, dims): (u32, String, u16) = row(found)?;
        Ok((id, Space { model: model.parse()?, dims }))
    };
    reader.rows(sql::SPACES, vec![])?.into_iter().map(space).collect()
}

/// Keeps those whose version stands at that vid and was not erased.
fn keep(session: &mut Session, space: u32, vectors: &[(u32, VersionId, String)]) -> Result<()> {
    let vids = vectors.iter().map(|(vid, ..)| *vid);
    let found = session.text_rows(&sql::versions_of("vid, version", &sql::whole_in(vids)))?;
    let there = |found| {
        let (vid, version): (u32, String) = row(found)?;
        Ok((vid, version.parse()?))
    };
    let there = found.into_iter().map(there).collect::<Result<HashSet<(u32, VersionId)>>>()?;
    let is_there = |(vid, version, _): &&(u32, VersionId, String)| there.contains(&(*vid, *version));
    let rows: Vec<String> = vectors.iter().filter(is_there).map(|(vid, _, codes)| format!("({vid},{codes})")).collect();
    if rows.is_empty() { Ok(()) } else { session.text(&sql::put_vectors(space, &rows.join(","))) }
}

impl Reader<'_> {
    /// Every version that some branch holds.
    fn on_branches(&self) -> Result<RoaringBitmap> {
        let mut all = RoaringBitmap::new();
        for live in self.with(live::all)? {
            all |= &*self.state(live.number)?.served;
        }
        Ok(all)
    }

    /// Those of these versions that have a vector.
    fn having(&self, space: u32, vids: &RoaringBitmap) -> Result<RoaringBitmap> {
        let mut have = RoaringBitmap::new();
        for part in live::parts(vids) {
            for found in self.with(|session| session.text_rows(&sql::having(space, &part)))? {
                let (vid,): (u32,) = row(found)?;
                have.insert(vid);
            }
        }
        Ok(have)
    }

    fn all_having(&self, space: u32) -> Result<RoaringBitmap> {
        let mut every = RoaringBitmap::new();
        every.insert_range(0..u32::MAX);
        self.having(space, &every)
    }

    fn count_of(&self, space: u32) -> Result<u32> {
        let found = self.first(&sql::count_vectors(space), vec![])?;
        Ok(found.map(row).transpose()?.map_or(0, |(count,)| count))
    }
}
