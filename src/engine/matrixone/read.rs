//! Versions by id, by page and in order: what is read of a state without asking for words or meaning.

use roaring::RoaringBitmap;

use super::store::Store;
use super::truth::Reader;
use super::within::Within;
use super::{filter, postings, row, sql};
use crate::engine::At;
use crate::engine::history::prefix::{ambiguous, prefix_range, short_len};
use crate::engine::history::{Past, Truth};
use crate::error::{Error, Result};
use crate::model::id::hex;
use crate::model::{Filter, Listing, Memory, MemoryId, Page, Scan, Version, VersionId};

/// Of how many versions at a time a scan asks whether they are wanted, and reads what they say.
const SCANNED_AT_ONCE: usize = 4_096;

impl Store {
    pub fn read(&self, at: &At, ids: &[MemoryId]) -> Result<Vec<Option<Version>>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.reading(|reader| {
            let found = reader.pairs(&sql::versions_of("memory, vid", &sql::memory_in(ids)))?;
            let live: Vec<(MemoryId, u32)> = found.into_iter().filter(|(_, vid)| at.state.contains(*vid)).collect();
            let mut versions = reader.whole(live.iter().map(|(_, vid)| *vid))?;
            versions.retain(|(_, version)| !version.memory.is_expired_at(at.as_of));
            let of = |id: &MemoryId| versions.iter().find(|(_, version)| version.memory.id == *id);
            Ok(ids.iter().map(|id| of(id).map(|(_, version)| version.clone())).collect())
        })
    }

    pub fn versions(&self, ids: &[VersionId]) -> Result<Vec<Option<Memory>>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.reading(|reader| {
            let found = reader.pairs::<VersionId>(&sql::versions_of("version, vid", &sql::version_in(ids)))?;
            let versions = reader.whole(found.into_iter().map(|(_, vid)| vid))?;
            let of = |id: &VersionId| versions.iter().find(|(_, version)| version.id == *id);
            Ok(ids.iter().map(|id| of(id).map(|(_, version)| version.memory.clone())).collect())
        })
    }

    pub fn page(&self, at: &At, wanted: &Filter, page: Page) -> Result<Listing> {
        self.reading(|reader| {
            let page = reader.in_state(at, |within| reader.newest(at, within, wanted, page))?;
            let (vids, total) = page;
            let mut versions = reader.whole(vids.iter().copied())?;
            versions.sort_by_key(|(vid, _)| vids.iter().position(|other| other == vid));
            Ok(Listing { memories: versions.into_iter().map(|(_, version)| version).collect(), total })
        })
    }

    /// Part of a state by the age of its versions (`limit` 0 is all); the total is counted for the first part only.
    pub fn scan(&self, at: &At, wanted: &Filter, start: u64, limit: u32) -> Result<Scan> {
        self.reading(|reader| {
            let mut scan = Scan::default();
            if start == 0 {
                scan.total = reader.in_state(at, |within| reader.count(at, within, wanted))?;
            }
            let Ok(start) = u32::try_from(start) else { return Ok(scan) };
            let limit = if limit == 0 { usize::MAX } else { limit as usize };
            let mut vids = at.state.range(start..);
            loop {
                let some: RoaringBitmap = vids.by_ref().take(SCANNED_AT_ONCE.min(limit.saturating_mul(2))).collect();
                if some.is_empty() {
                    return Ok(scan);
                }
                let passing = reader.passing(&some, wanted, at.as_of)?;
                let room = limit - scan.versions.len();
                scan.next = passing.iter().nth(room).map(u64::from);
                let versions = reader.whole(passing.iter().take(room))?;
                scan.versions.extend(versions.into_iter().map(|(_, version)| version));
                if scan.next.is_some() {
                    return Ok(scan);
                }
            }
        })
    }

    pub fn containing(&self, at: &At, terms: &[String], wanted: &Filter, limit: u32) -> Result<(Vec<MemoryId>, u32)> {
        let mut keys: Vec<i64> = terms.iter().map(|term| postings::key_of_term(term)).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() || at.state.is_empty() {
            return Ok((Vec::new(), 0));
        }
        self.reading(|reader| {
            let holding = reader.in_state(at, |within| {
                let (condition, values) = filter::condition(wanted, at.as_of);
                let from = within.of_table("words", true);
                let sql = sql::holding_all(&from, &keys, &format!("{} and {condition}", within.and()));
                reader.rows(&sql, values)?.into_iter().map(|found| Ok(row::<(u32,)>(found)?.0)).collect()
            })?;
            let all = RoaringBitmap::from_iter::<Vec<u32>>(holding) & &*at.state;
            let limit = if limit == 0 { usize::MAX } else { limit as usize };
            let some: Vec<u32> = all.iter().take(limit).collect();
            if some.is_empty() {
                return Ok((Vec::new(), 0));
            }
            let ids = reader.pairs::<MemoryId>(&sql::versions_of("memory, vid", &sql::vid_in(&some)))?;
            let mut ids: Vec<(u32, MemoryId)> = ids.into_iter().map(|(id, vid)| (vid, id)).collect();
            ids.sort_unstable();
            Ok((ids.into_iter().map(|(_, id)| id).collect(), all.len() as u32))
        })
    }

    pub fn find(&self, prefix: &str) -> Result<MemoryId> {
        let (first, last) = prefix_range::<16>(prefix, "memory id")?;
        let ids = self.reading(|reader| {
            let found = reader.rows(sql::MEMORIES_LIKE, vec![hex(&first).into(), hex(&last).into()])?;
            found.into_iter().map(|found| row::<(String,)>(found)?.0.parse()).collect::<Result<Vec<MemoryId>>>()
        })?;
        match ids[..] {
            [] => Err(Error::not_found(format!("no memory has an id that starts with {prefix}"))),
            [id] => Ok(id),
            _ => Err(ambiguous("memories", prefix, ids.iter().map(ToString::to_string))),
        }
    }

    pub fn short_lens(&self, ids: &[MemoryId]) -> Result<Vec<u8>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.reading(|reader| {
            let mut keys: Vec<i64> = ids.iter().map(postings::key_of_prefix).collect();
            keys.sort_unstable();
            keys.dedup();
            let found = reader.with(|session| session.text_rows(&sql::memories_by_key(&keys)))?;
            let like: Vec<MemoryId> =
                found.into_iter().map(|found| row::<(String,)>(found)?.0.parse()).collect::<Result<_>>()?;
            let others = |id: &MemoryId| like.iter().filter(|other| *other != id).copied().collect::<Vec<_>>();
            Ok(ids.iter().map(|id| short_len(id, others(id).into_iter())).collect())
        })
    }
}

impl Reader<'_> {
    /// Asks within a state, in the fastest way; should a branch's table have moved on meanwhile, in the way that always
    /// works.
    pub fn in_state<T>(&self, at: &At, ask: impl Fn(&Within) -> Result<T>) -> Result<T> {
        let within = Within::of(self, at)?;
        let answer = ask(&within)?;
        if within.still_holds(self, at)? { Ok(answer) } else { ask(&Within::Unsaid) }
    }

    /// What these versions say, rising; erased ones are left out.
    pub fn whole(&self, vids: impl Iterator<Item = u32>) -> Result<Vec<(u32, Version)>> {
        let vids: RoaringBitmap = vids.collect();
        self.soon(|| vids.clone())?;
        let whole = |vid: u32| {
            let read = self.version(vid, |row| Ok(row.memory()?.map(|memory| Version { id: row.id(), memory })));
            read.map(|version| version.map(|version| (vid, version))).transpose()
        };
        vids.iter().filter_map(whole).collect()
    }

    /// The same, with how long each is in terms.
    pub fn whole_with_len(&self, vids: &RoaringBitmap) -> Result<Vec<(u32, Version, u32)>> {
        let whole = self.whole(vids.iter())?;
        let with_len = |(vid, version)| self.version(vid, |row| Ok(row.terms())).map(|len| (vid, version, len));
        whole.into_iter().map(with_len).collect()
    }

    /// Ids with numbers beside them.
    fn pairs<T: std::str::FromStr<Err = Error>>(&self, sql: &str) -> Result<Vec<(T, u32)>> {
        let found = self.with(|session| session.text_rows(sql))?;
        let pair = |found| {
            let (id, vid): (String, u32) = row(found)?;
            Ok((id.parse()?, vid))
        };
        found.into_iter().map(pair).collect()
    }

    fn count(&self, at: &At, within: &Within, wanted: &Filter) -> Result<u32> {
        if *within == Within::Unsaid {
            return Ok(self.passing(&at.state, wanted, at.as_of)?.len() as u32);
        }
        let (condition, values) = filter::condition(wanted, at.as_of);
        let found = self.first(&sql::count(&within.faces(), &format!("{condition}{}", within.and())), values)?;
        Ok(found.map(row).transpose()?.map_or(0, |(count,)| count))
    }

    /// Versions that pass, newest first by `observed_at`, then by memory id, and how many there are in all.
    fn newest(&self, at: &At, within: &Within, wanted: &Filter, page: Page) -> Result<(Vec<u32>, u32)> {
        let (condition, values) = filter::condition(wanted, at.as_of);
        let which = format!("{condition}{}", within.and());
        let (offset, limit) = (page.offset as usize, if page.limit == 0 { usize::MAX } else { page.limit as usize });
        let is_whole = *within != Within::Unsaid;
        let asked = (is_whole && page.limit > 0).then_some(page);
        let found = self.rows(&sql::newest(&within.faces(), &which, asked), values)?;
        let vids = found.into_iter().map(|found| row(found).map(|(vid,)| vid)).collect::<Result<Vec<u32>>>()?;
        let vids: Vec<u32> = vids.into_iter().filter(|vid| at.state.contains(*vid)).collect();
        match asked {
            Some(_) => Ok((vids, self.count(at, within, wanted)?)),
            None => Ok((vids.iter().skip(offset).take(limit).copied().collect(), vids.len() as u32)),
        }
    }
}

/// Whether a filter keeps nothing out but what has expired.
pub fn is_open(filter: &Filter) -> bool {
    *filter == Filter::default()
}
