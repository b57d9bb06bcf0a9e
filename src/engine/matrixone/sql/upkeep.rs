//! The statements of erasing, compacting, verifying and repairing. Of `sql.rs`, whose rules hold.

use super::FACE;

/// Where a version stands, without what it says.
pub const PLACED: &str = "vid, first, memory, version, len";
pub const META_NOW: &str = "select next_vid, next_commit, upheavals from meta where id = 1";
pub const PUT_ERASED: &str = "update erased set versions = ? where id = 1";
/// History has changed for those who remember it.
pub const RAISE: &str = "update meta set upheavals = upheavals + 1 where id = 1";
pub const NAMED_NATIVES: &str = "select name, snapshot from natives";
pub const EVERY_PENDING: &str = "select branch, record from pending order by branch";

/// Versions of these memories that have their bytes.
pub fn whole_of(memories: &str) -> String {
    format!("memory in ({memories}) and canonical is not null")
}

/// Versions without what they say.
pub fn empty_versions(which: &str) -> String {
    format!(
        "update versions set salt = null, canonical = null, text_key = '', kind = 0, trust = 0, \
         project = null, session = null, subject = null, agent = null, tags = '', observed_at = 0, expires_at = null \
         where {which}"
    )
}

/// Whether a name was deleted before a time: the first byte of a move says what happened.
pub const WAS_DELETED: &str = "select 1 from moves where made_at < ? and substring(hex(record), 1, 2) = '04' limit 1";
pub const HAS_OLD_MARKS: &str = "select 1 from ops where is_mark and made_at < ? limit 1";
pub const DELETE_MARKS: &str = "delete from ops where is_mark and made_at < ?";
pub const COMMITS_BELOW: &str = "select number, record from commits where number < ? order by number desc limit ?";
pub const DELETE_MOVES: &str = "delete from moves \
     where name = concat('', ?) and (made_at > ? or (made_at = ? and seq >= ?)) \
     and (made_at < ? or (made_at = ? and seq <= ?))";
pub const DELETE_NAME: &str = "delete from names where name = concat('', ?) and made_at = ? and seq = ?";

/// Of these memories, those of which there is a version.
pub fn memories_there(memories: &str) -> String {
    format!("select distinct memory from versions where memory in ({memories})")
}

/// `table` is one of ours, `which` is made of numbers or ids.
pub fn delete_from(table: &str, which: &str) -> String {
    format!("delete from {table} where {which}")
}

pub const COMMITS_BY_ID_AFTER: &str =
    "select number, id, record from commits where number > ? and number < ? order by number limit ?";
pub const ROWS: &str = "select (select count(*) from commits where number < ?), \
     (select count(*) from wide where number < ?), (select count(*) from states where number < ?)";
pub const PUT_TABLE: &str = "update names set live = ? where name = concat('', ?)";

/// The columns that are searched, then `vid, first, len, version, text_key, salt, canonical`.
pub fn versions_after() -> String {
    format!(
        "select {FACE}, vid, first, len as terms, version, text_key, salt, canonical from versions where vid > ? \
         and vid < ? order by vid limit ?"
    )
}

pub fn live_vids(table: u32) -> String {
    format!("select vid from live_{table} where vid > ? order by vid limit ?")
}

pub fn vector_vids(space: u32) -> String {
    format!("select vid from vectors_{space} where vid > ? order by vid limit ?")
}

/// Rows of a branch's table that are not what `versions` has under the same number.
pub fn differing(table: u32) -> String {
    let same = |column: &str| match column {
        "project" | "session" | "subject" | "agent" => {
            format!("coalesce(l.{column}, '') = coalesce(v.{column}, '')")
        }
        "expires_at" => format!("coalesce(l.{column}, -1) = coalesce(v.{column}, -1)"),
        _ => format!("l.{column} = v.{column}"),
    };
    let same: Vec<String> = FACE.split(", ").map(same).collect();
    format!(
        "select l.vid from live_{table} l join versions v on l.vid = v.vid where l.vid > ? and not ({}) \
         order by l.vid limit ?",
        same.join(" and ")
    )
}

/// Sets the columns that are searched, and the text's key.
pub fn put_face() -> String {
    format!(
        "update versions set {} = ?, text_key = ? where vid = ?",
        FACE.split(", ").collect::<Vec<_>>().join(" = ?, ")
    )
}

/// What the words of each of these versions come to (`postings::Sum`).
pub fn sums_of_words(which: &str) -> String {
    format!("select vid, count(*), sum(f), bit_xor(term) from words where {which} group by vid")
}

pub fn sums_of_sessions(which: &str) -> String {
    format!("select vid, count(*), bit_xor(session) from sessions where {which} group by vid")
}
