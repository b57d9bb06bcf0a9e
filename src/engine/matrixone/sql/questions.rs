//! The statements of those who ask: which versions of a state have what, and what they say. Of `sql.rs`, whose rules
//! hold.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use memoria_kernel::bm25;
use roaring::RoaringBitmap;

use super::{hexes, numbers};
use crate::model::{MemoryId, Page, VersionId};

// ---- Parts of questions (within.rs) ----

// The table that is asked is `t`; `which` is what follows the first condition, empty or beginning with `and`.

/// Which branch's table holds the state of a commit.
pub const LIVE_AT: &str = "select live from names where number = ? and live is not null limit 1";
pub const IS_LIVE_AT: &str = "select 1 from names where live = ? and number = ?";

pub fn live(id: u32) -> String {
    format!("live_{id}")
}

pub fn vectors(space: u32) -> String {
    format!("vectors_{space}")
}

pub fn alone(table: &str) -> String {
    format!("{table} t")
}

/// Only those versions that another table has, too, with its columns.
pub fn beside(table: &str, other: &str) -> String {
    format!("{table} t join {other} l on l.vid = t.vid")
}

// ---- Reading versions (read.rs) ----

/// Ids in hex, from the smallest to the largest.
pub const MEMORIES_LIKE: &str =
    "select distinct memory from versions where memory between concat('', ?) and concat('', ?) limit 4";

pub fn memory_in(ids: &[MemoryId]) -> String {
    format!("memory in ({})", hexes(ids.iter().map(ToString::to_string)))
}

pub fn feedback_of(ids: &[MemoryId]) -> String {
    format!("select memory, record from feedback where {}", memory_in(ids))
}

pub fn version_in(ids: &[VersionId]) -> String {
    format!("version in ({})", hexes(ids.iter().map(ToString::to_string)))
}

pub fn vid_in(vids: &[u32]) -> String {
    format!("vid in ({})", numbers(vids.iter().copied()))
}

/// Those of which the bytes are there.
pub fn whole_in(vids: impl IntoIterator<Item = u32>) -> String {
    format!("canonical is not null and vid in ({})", numbers(vids))
}

pub fn memories_by_key(keys: &[i64]) -> String {
    let from = beside("words", "versions");
    format!("select distinct l.memory from {from} where t.term in ({})", numbers(keys.iter().copied()))
}

pub fn count(from: &str, which: &str) -> String {
    format!("select count(*) from {from} where {which}")
}

/// Newest first, then by memory id.
pub fn newest(from: &str, which: &str, page: Option<Page>) -> String {
    let page = page.map_or_else(String::new, |page| format!(" limit {} offset {}", page.limit, page.offset));
    format!("select t.vid from {from} where {which} order by t.observed_at desc, t.memory{page}")
}

/// Versions that have every one of these terms.
pub fn holding_all(from: &str, terms: &[i64], which: &str) -> String {
    let (count, terms) = (terms.len(), numbers(terms.iter().copied()));
    format!("select t.vid from {from} where t.term in ({terms}){which} group by t.vid having count(*) = {count}")
}

// ---- Questions (candidates.rs, nearest.rs) ----

pub fn document_frequencies<'a>(from: &str, terms: impl Iterator<Item = &'a i64>, which: &str) -> String {
    format!("select t.term, count(*) from {from} where t.term in ({}){which} group by t.term", numbers(terms.copied()))
}

/// The postings of these terms, of all versions or of these.
pub fn postings_of<'a>(terms: impl Iterator<Item = &'a i64>, vids: Option<&[u32]>) -> String {
    let which = vids.map_or_else(String::new, |vids| format!(" and t.{}", vid_in(vids)));
    format!("select t.term, t.vid, t.f, t.len from words t where t.term in ({}){which}", numbers(terms.copied()))
}

/// The best by BM25 (`kernel/src/bm25.rs`), each term with what it weighs. An exponent makes a number a binary one; of
/// decimal ones the server adds up half as fast.
pub fn best_by_words(from: &str, weights: &[(i64, f32)], average_len: f32, which: &str, limit: usize) -> String {
    let terms = numbers(weights.iter().map(|(term, _)| *term));
    let mut weight = String::new();
    for (term, idf) in weights {
        let _ = write!(weight, " when {term} then {:e}", bm25::best(*idf));
    }
    let (flat, steep) = (bm25::norm(0, average_len), bm25::norm(1, average_len) - bm25::norm(0, average_len));
    format!(
        "select t.vid, sum((case t.term{weight} else 0e0 end) * t.f / (t.f + {flat:e} + {steep:e} * t.len)) as score \
         from {from} where t.term in ({terms}){which} group by t.vid having score > 0e0 \
         order by score desc, t.vid desc limit {limit}"
    )
}

/// Up to `limit` rows of sessions: all, or those of versions in these ranges.
pub fn sessions(sessions: &BTreeSet<i64>, windows: Option<&[(u32, u32)]>, limit: usize) -> String {
    let which = windows.map_or_else(String::new, |windows| {
        let window = |(first, last): &(u32, u32)| format!("vid between {first} and {last}");
        format!(" and ({})", windows.iter().map(window).collect::<Vec<_>>().join(" or "))
    });
    let sessions = numbers(sessions.iter().copied());
    format!(
        "select session, observed_at, vid, expires_at, len from sessions where session in ({sessions}){which} \
         limit {limit}"
    )
}

/// The nearest to these codes, with their cosines.
pub fn nearest(from: &str, codes: &str, which: &str, limit: usize) -> String {
    format!(
        "select t.vid, cosine_similarity(t.e, '{codes}') as near from {from} where t.e is not null{which} \
         order by near desc, t.vid desc limit {limit}"
    )
}

/// How many cosines there are, their sum, and that of their squares.
pub fn moments(from: &str, codes: &str, which: &str) -> String {
    format!(
        "select count(*), sum(near), sum(near * near) from (select cosine_similarity(t.e, '{codes}') as near \
         from {from} where t.e is not null{which}) as compared"
    )
}

pub fn codes(table: &str, vids: &RoaringBitmap) -> String {
    format!("select vid, e from {table} where e is not null and vid in ({})", numbers(vids))
}

pub fn cosines(table: &str, codes: &str, vids: &RoaringBitmap) -> String {
    let vids = numbers(vids);
    format!("select vid, cosine_similarity(e, '{codes}') from {table} where e is not null and vid in ({vids})")
}

pub fn cosines_between(table: &str, codes: &str, first: u32, last: u32) -> String {
    format!(
        "select vid, cosine_similarity(e, '{codes}') from {table} \
         where e is not null and vid between {first} and {last}"
    )
}

// ---- Vectors (vectors.rs) ----

pub const NEXT_VID: &str = "select next_vid from meta where id = 1";
pub const SPACE: &str = "select id from spaces where model = concat('', ?) and dims = ?";
pub const SPACES: &str = "select id, model, dims from spaces order by id";
pub const SPACES_OF: &str = "select id from spaces where model = concat('', ?)";
pub const INSERT_SPACE: &str = "insert into spaces values (?, ?, ?)";
pub const DELETE_SPACES: &str = "delete from spaces where model = concat('', ?)";

/// Every version's vector, as codes; none where the model has no opinion.
pub fn create_vectors(space: u32, dims: u16) -> String {
    format!("create table if not exists vectors_{space} (vid bigint unsigned primary key, e vecf32({dims}))")
}

pub fn drop_vectors(space: u32) -> String {
    format!("drop table if exists vectors_{space}")
}

pub fn put_vectors(space: u32, rows: &str) -> String {
    format!("replace into vectors_{space} values {rows}")
}

pub fn delete_vectors(space: u32, which: &str) -> String {
    format!("delete from vectors_{space} where {which}")
}

pub fn having(space: u32, which: &str) -> String {
    format!("select vid from vectors_{space} where {which}")
}

pub fn count_vectors(space: u32) -> String {
    format!("select count(*) from vectors_{space}")
}
