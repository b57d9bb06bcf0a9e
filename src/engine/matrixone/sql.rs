//! Every SQL text of this engine, by the file that uses it. A text that people gave never stands in one: it is a
//! parameter. What cannot be prepared is made of generated identifiers and numbers alone.
//!
//! A text is compared as `concat('', ?)`, never as `?`: the server reads a bare one as a decimal first, and for one
//! like `1e400000`, which is a good name and may be the beginning of an id, that takes it minutes of a processor.

mod questions;
mod upkeep;

use std::fmt::{Display, Write as _};

pub use questions::*;
pub use upkeep::*;

// ---- Connections (pool.rs) ----

pub const BEGIN: &str = "begin";
pub const COMMIT: &str = "commit";
pub const ROLLBACK: &str = "rollback";

/// What each connection is told first. A server that knows one of them not is used all the same.
/// Row locks are waited for less long than a request has, so that a lock that is held for good is told from silence.
pub const SET_UP: [&str; 2] = ["set session transaction_isolation='READ-COMMITTED'", "set session lock_wait_timeout=5"];

/// `database` has been judged by `settings.rs`: letters, digits, `_` and `-`.
pub fn create_database(database: &str) -> String {
    format!("create database if not exists `{database}`")
}

// ---- The tables (schema.rs) ----

// Ids stand as lower-case hex in `varchar`: a comparison with a `binary` column is cast to text and reads the whole
// table, one with a `varchar` uses its index, also for the beginning of an id.

/// The columns by which rows are searched and filtered: the same in `versions` and in a branch's table, so that one
/// is copied into the other by the server. `tags` has a line feed before, between and behind them.
macro_rules! face {
    () => {
        "memory varchar(32) not null, kind tinyint unsigned not null, trust tinyint unsigned not null, \
         project varchar(512), session varchar(512), subject varchar(512), agent varchar(512), \
         tags varchar(4096) not null, observed_at bigint not null, expires_at bigint, len int unsigned not null"
    };
}

/// The names of these columns, in that order.
pub const FACE: &str = "memory, kind, trust, project, session, subject, agent, tags, observed_at, expires_at, len";

/// Whether this database holds our tables.
pub const HAS_META: &str =
    "select 1 from information_schema.tables where table_schema = database() and table_name = 'meta'";

/// Every table but the branches' own, in an order in which each can be made again without harm.
pub const TABLES: &[&str] = &[
    "create table if not exists meta (id tinyint unsigned primary key, format int unsigned not null, \
     store varbinary(16) not null, next_vid bigint unsigned not null, next_commit bigint unsigned not null, \
     next_table int unsigned not null, upheavals bigint unsigned not null)",
    concat!(
        "create table if not exists versions (vid bigint unsigned primary key, ",
        face!(),
        ", version varchar(64) not null, first bigint unsigned not null, text_key varchar(32) not null, \
         salt varbinary(16), canonical longblob, key (memory), key (version), key (text_key))"
    ),
    "create table if not exists commits (number bigint unsigned primary key, id varchar(64) not null, \
     parent bigint unsigned, depth int unsigned not null, made_at bigint not null, verb varchar(16) not null, \
     agent varchar(512), session varchar(512), record longblob not null, key (id))",
    "create table if not exists wide (number bigint unsigned primary key, delta longblob not null)",
    "create table if not exists states (number bigint unsigned primary key, state longblob not null)",
    "create table if not exists touches (first bigint unsigned, number bigint unsigned, primary key (first, number))",
    // A name's last move, and a branch's table, which holds the state of commit `number`.
    "create table if not exists names (name varchar(64) primary key, made_at bigint not null, \
     seq int unsigned not null, record blob not null, kind tinyint unsigned not null, is_living bool not null, \
     number bigint unsigned not null, live int unsigned)",
    "create table if not exists moves (name varchar(64), made_at bigint, seq int unsigned, record blob not null, \
     primary key (name, made_at, seq))",
    "create table if not exists pending (branch varchar(64) primary key, record longblob not null)",
    CREATE_FEEDBACK,
    "create table if not exists ops (op varchar(48) primary key, made_at bigint not null, is_mark bool not null, \
     reply longblob not null)",
    "create table if not exists erased (id tinyint unsigned primary key, versions longblob not null)",
    "create table if not exists natives (name varchar(64) primary key, snapshot varchar(64) not null)",
    // Every version's words, a row for each. They lie by word, so that a question reads just its own.
    "create table if not exists words (term bigint not null, vid bigint unsigned not null, \
     f smallint unsigned not null, len int unsigned not null) cluster by (term)",
    // Every version that belongs to a session.
    "create table if not exists sessions (session bigint not null, observed_at bigint not null, \
     vid bigint unsigned not null, expires_at bigint, len int unsigned not null) cluster by (session)",
    "create table if not exists spaces (id int unsigned primary key, model varchar(200) not null, \
     dims int unsigned not null)",
];

/// What was said of memories. Databases that were made before it was thought of get it when they are opened.
pub const CREATE_FEEDBACK: &str =
    "create table if not exists feedback (memory varchar(32) primary key, record blob not null)";
pub const HAS_FEEDBACK: &str =
    "select 1 from information_schema.tables where table_schema = database() and table_name = 'feedback'";

/// A branch's table: the live rows of its head, and nothing else.
pub fn create_live(id: u32) -> String {
    format!(concat!("create table if not exists live_{} (vid bigint unsigned primary key, ", face!(), ")"), id)
}

pub const META: &str = "select format, store, upheavals from meta where id = 1";
pub const INSERT_META: &str = "insert ignore into meta values (1, ?, ?, 0, 1, ?, 1)";
pub const INSERT_ERASED: &str = "insert into erased values (1, ?)";

pub fn drop_live(id: u32) -> String {
    format!("drop table if exists live_{id}")
}

// ---- Writing (write.rs, put.rs, live.rs) ----

/// Who holds this row writes; everybody else who would, waits.
pub const LOCK: &str = "select next_vid, next_commit, next_table, upheavals from meta where id = 1 for update";
pub const ADVANCE: &str = "update meta set next_vid = ?, next_commit = ?, next_table = ? where id = 1";
pub const INSERT_COMMIT: &str = "insert into commits values (?, ?, ?, ?, ?, ?, ?, ?, ?)";
pub const INSERT_WIDE: &str = "insert into wide values (?, ?)";
pub const INSERT_STATE: &str = "insert into states values (?, ?)";
pub const INSERT_MOVE: &str = "insert into moves values (?, ?, ?, ?)";
pub const INSERT_NAME: &str = "insert into names values (?, ?, ?, ?, ?, ?, ?, ?)";
/// The compare-and-swap of a name.
pub const MOVE_NAME: &str = "update names set made_at = ?, seq = ?, record = ?, kind = ?, is_living = ?, number = ?, \
     live = ? where name = concat('', ?) and made_at = ? and seq = ?";
pub const INSERT_OP: &str = "insert into ops values (?, ?, false, ?)";
pub const OLD_REPLIES: &str = "select op, made_at from ops where made_at < ? and not is_mark limit ?";
pub const MARK_OP: &str = "update ops set is_mark = true, reply = ? where op = concat('', ?)";
pub const PUT_PENDING: &str = "replace into pending values (?, ?)";
pub const DELETE_PENDING: &str = "delete from pending where branch = concat('', ?)";
pub const PENDING: &str = "select record from pending where branch = concat('', ?)";
pub const REPLY: &str = "select reply from ops where op = concat('', ?)";
pub const LIVES: &str = "select live, number from names where live is not null";

pub fn put_feedback(rows: usize) -> String {
    format!("replace into feedback values {}", rows_of(rows, 2))
}

/// What writes are judged by first, in one look: where these names stand, and on request every branch; and the replies
/// to these operations, which have no `seq`.
pub fn known(names: usize, ops: usize, has_branches: bool) -> String {
    let list = |count| vec!["concat('', ?)"; count].join(", ");
    let branches = if has_branches { " or live is not null" } else { "" };
    format!(
        "select name, made_at, seq, live, record from names where name in ({}){branches} \
         union all select op, made_at, null, null, reply from ops where op in ({})",
        list(names),
        list(ops)
    )
}

/// Operations by their ids in hex.
pub fn delete_ops(ops: &str) -> String {
    format!("delete from ops where op in ({ops})")
}

pub fn take_out(table: u32, which: &str) -> String {
    format!("delete from live_{table} where {which}")
}

pub fn bring_in(table: u32, which: &str) -> String {
    format!("insert into live_{table} (vid, {FACE}) select vid, {FACE} from versions where {which}")
}

/// A copy that shares everything with its source until either is changed.
pub fn branch_live(table: u32, source: u32) -> String {
    format!("data branch create table live_{table} from live_{source}")
}

/// Rows at once, of so many values each.
pub fn insert_many(into: &str, rows: usize, values: usize) -> String {
    format!("insert into {into} values {}", rows_of(rows, values))
}

fn rows_of(rows: usize, values: usize) -> String {
    let row = format!("({})", vec!["?"; values].join(", "));
    vec![row.as_str(); rows].join(", ")
}

/// Numbers as an `in` list takes them: a thousand of them are read 10 times as fast as a thousand placeholders. An
/// empty list, which the server cannot read, is one that nothing is in.
pub fn numbers(numbers: impl IntoIterator<Item = impl Display>) -> String {
    let mut list = String::new();
    for number in numbers {
        let _ = write!(list, "{}{number}", if list.is_empty() { "" } else { "," });
    }
    if list.is_empty() { "null".to_owned() } else { list }
}

/// Ids as an `in` list takes them: hex digits, made here.
pub fn hexes(ids: impl IntoIterator<Item = String>) -> String {
    ids.into_iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",")
}

// ---- Reading history (store.rs, truth.rs) ----

pub const UPHEAVALS: &str = "select upheavals from meta where id = 1";
pub const ERASED: &str = "select versions from erased where id = 1";
pub const STATE: &str = "select state from states where number = ?";
pub const WIDE: &str = "select delta from wide where number = ?";
pub const WIDES: &str = "select number, delta from wide where number >= ? and number <= ? order by number limit ?";
pub const TOUCHES: &str = "select number from touches where first = ? order by number";
pub const NUMBER_OF: &str = "select number from commits where id = concat('', ?)";
pub const COMMITS_LIKE: &str =
    "select number, id from commits where id between concat('', ?) and concat('', ?) limit 4";
pub const VIDS_OF: &str = "select vid from versions where memory = concat('', ?) order by vid";
pub const LAST_MOVE: &str = "select made_at, seq, record, live from names where name = concat('', ?)";
pub const LAST_MOVE_UNTIL: &str = "select made_at, seq, record from moves where name = concat('', ?) and made_at <= ? \
     order by made_at desc, seq desc limit 1";
pub const NEXT_MOVE: &str = "select made_at, seq, record from moves where name = concat('', ?) and made_at > ? \
     order by made_at, seq limit 1";
pub const EVERY_NAME: &str = "select name, made_at, seq, record from names order by name";
pub const NAMES_GONE: &str = "select name, made_at, seq, record from names where not is_living order by name";
pub const BRANCHES: &str = "select name from names where is_living and kind = 0 order by name limit ?";
/// A head, in one look: whether history was changed, and where the branch stands.
pub const HEAD: &str = "select (select upheavals from meta where id = 1), number from names \
     where name = concat('', ?) and live is not null";

/// What a version's row is made of.
pub const STORED: &str = "vid, first, len, memory, version, salt, canonical";

pub fn commits_of(which: &str) -> String {
    format!("select number, record from commits where {which}")
}

pub fn versions_of(columns: &str, which: &str) -> String {
    format!("select {columns} from versions where {which}")
}

pub fn passing(which: &str, condition: &str) -> String {
    format!("select vid from versions where ({which}) and {condition}")
}

/// Versions of these memories and of these texts, with the text's key: `STORED` and `text_key`.
pub fn prepared(memories: &str, texts: &str) -> String {
    let of = |what: &str, list: &str| {
        let list = if list.is_empty() { "null" } else { list };
        format!("select {STORED}, text_key from versions where {what} in ({list})")
    };
    format!("{} union all {}", of("memory", memories), of("text_key", texts))
}

/// The same of one memory and one text: the statement is prepared once.
pub fn prepared_one() -> String {
    prepared("concat('', ?)", "concat('', ?)")
}

/// As [`take_out`] and [`bring_in`], of numbers that stand together: these are prepared once for each table.
pub fn take_out_run(table: u32) -> String {
    take_out(table, "vid between ? and ?")
}

pub fn bring_in_run(table: u32) -> String {
    bring_in(table, "vid between ? and ?")
}

pub const COUNTS: &str = "select (select count(*) from names where is_living and kind = 0), \
     (select count(*) from names where is_living and kind = 1), (select count(*) from commits), \
     (select count(*) from versions)";

pub fn kinds(table: u32) -> String {
    format!("select kind, count(*) from live_{table} group by kind order by kind")
}

// ---- Snapshots of the server's own (natives.rs) ----

pub const PUT_NATIVE: &str = "replace into natives values (?, ?)";
pub const RENAME_NATIVE: &str = "update natives set name = ? where name = concat('', ?)";
pub const DELETE_NATIVE: &str = "delete from natives where name = concat('', ?)";
pub const NATIVE_OF: &str = "select snapshot from natives where name = concat('', ?)";
pub const NATIVES: &str = "select snapshot from natives";
/// Those older than so many seconds.
pub const NATIVES_THERE: &str = "select sname from mo_catalog.mo_snapshots where database_name = concat('', ?) \
     and sname like 'memoria\\_%' and ts < (unix_timestamp(now()) - ?) * 1000000000";

pub fn create_native(ident: &str, database: &str, table: u32) -> String {
    format!("create snapshot {ident} for table `{database}` live_{table}")
}

pub fn drop_native(ident: &str) -> String {
    format!("drop snapshot if exists {ident}")
}

// ---- What is searched by (postings.rs) ----

pub const INSERT_WORDS: &str = "insert into words (term, vid, f, len) values ";
pub const INSERT_SESSIONS: &str = "insert into sessions (session, observed_at, vid, expires_at, len) values ";

// ---- What the server can do and lets us do (doctor.rs); `name` is generated ----

pub const VERSION: &str = "select version()";
pub const DATABASES_NAMED: &str = "select count(*) from information_schema.schemata where schema_name = concat('', ?)";
/// Milliseconds since 1970.
pub const CLOCK: &str = "select cast(unix_timestamp(now(6)) * 1000 as signed)";
pub const SNAPSHOTS_THERE: &str = "select count(*) from mo_catalog.mo_snapshots where kind = 'user'";

pub fn drop_database(name: &str) -> String {
    format!("drop database if exists `{name}`")
}

/// A table as ours are, two rows in it, and what must be found there; in `database`.
pub fn probe_table(database: &str, name: &str) -> [String; 2] {
    [
        format!("create table `{database}`.{name} (id bigint primary key, words varchar(65535), e vecf32(3))"),
        format!("insert into `{database}`.{name} values (1, 'left wing', '[1,0,0]'), (2, 'right wing', '[0,1,0]')"),
    ]
}

pub fn probe_vectors(database: &str, name: &str) -> String {
    format!("select id from `{database}`.{name} where e is not null order by cosine_distance(e, '[0,1,0.1]') limit 1")
}

pub fn probe_full_text(database: &str, name: &str) -> [String; 2] {
    [
        format!("create fulltext index probe on `{database}`.{name} (words)"),
        format!("select id from `{database}`.{name} where match(words) against('right' in boolean mode)"),
    ]
}

pub fn probe_branch(database: &str, name: &str) -> [String; 2] {
    [
        format!("data branch create table `{database}`.{name}_branch from `{database}`.{name}"),
        format!("data branch delete table `{database}`.{name}_branch"),
    ]
}

pub fn probe_snapshot(database: &str, name: &str) -> [String; 2] {
    [format!("create snapshot {name} for table `{database}` {name}"), format!("drop snapshot if exists {name}")]
}

pub fn drop_probe(database: &str, name: &str) -> String {
    format!("drop table if exists `{database}`.{name}")
}

// ---- Whole stores (give.rs, incoming.rs) ----

pub const CUT: &str = "select store, next_vid, next_commit, upheavals from meta where id = 1";
pub const VERSIONS_AFTER: &str = "select vid, first, len, memory, version, salt, canonical from versions \
     where vid > ? and vid < ? order by vid limit ?";
pub const COMMITS_AFTER: &str =
    "select number, record from commits where number > ? and number < ? order by number limit ?";
pub const WIDE_AFTER: &str = "select number, delta from wide where number > ? and number < ? order by number limit ?";
pub const STATES_AFTER: &str =
    "select number, state from states where number > ? and number < ? order by number limit ?";
pub const COMMIT_ROW: &str = "select record from commits where number = ?";
pub const TOUCHES_AFTER: &str = "select first, number from touches \
     where number < ? and (first > ? or (first = ? and number > ?)) order by first, number limit ?";
pub const MOVES_AFTER: &str = "select name, made_at, seq, record from moves \
     where name > concat('', ?) or (name = concat('', ?) and (made_at > ? or (made_at = ? and seq > ?))) \
     order by name, made_at, seq limit ?";
pub const PENDING_AFTER: &str =
    "select branch, record from pending where branch > concat('', ?) order by branch limit ?";
pub const FEEDBACK_AFTER: &str =
    "select memory, record from feedback where memory > concat('', ?) order by memory limit ?";
pub const OPS_AFTER: &str = "select op, reply from ops where op > concat('', ?) order by op limit ?";

pub const HAS_MOVING: &str =
    "select 1 from information_schema.tables where table_schema = database() and table_name = 'moving'";
/// How far a store is that is being moved here. It is there only until the store is whole.
pub const CREATE_MOVING: &str =
    "create table if not exists moving (id tinyint unsigned primary key, standing longblob not null)";
pub const MOVING: &str = "select standing from moving where id = 1";
pub const LOCK_MOVING: &str = "select standing from moving where id = 1 for update";
pub const INSERT_MOVING: &str = "insert into moving values (1, ?)";
pub const UPDATE_MOVING: &str = "update moving set standing = ? where id = 1";
pub const DROP_MOVING: &str = "drop table if exists moving";
pub const LOCK_META: &str = "select next_vid, next_commit from meta where id = 1 for update";
pub const DELETE_META: &str = "delete from meta";
pub const WRITE_META: &str = "insert into meta values (1, ?, ?, ?, ?, ?, ?)";
/// What rows stand in, beside `meta`.
pub const ROW_TABLES: &[&str] = &[
    "versions", "commits", "wide", "states", "touches", "names", "moves", "pending", "ops", "erased", "feedback",
    "natives", "words", "sessions",
];
/// The branches' tables that there are.
pub const LIVE_TABLES: &str =
    "select table_name from information_schema.tables where table_schema = database() and table_name like 'live\\_%'";

/// Of one of [`ROW_TABLES`].
pub fn empty(table: &str) -> String {
    format!("delete from {table}")
}

// ---- A database of Memoria v0.4 (v04.rs); its tables' names have been judged ----

pub const V04_BRANCHES: &str = "select name, table_name from mem_branches where status = 'active' order by name";
pub const V04_SNAPSHOTS: &str =
    "select name, snapshot_name from mem_snapshots where status = 'active' order by created_at, name";
pub const V04_STATS: &str = "select memory_id, access_count, feedback_useful, feedback_irrelevant, feedback_outdated, \
     feedback_wrong from mem_memories_stats";
/// Every word that was said, as counts and the time of the last for it and against it.
pub const V04_WORDS: &str = "select memory_id, count(case when `signal` = 'useful' then 1 end), \
     count(case when `signal` = 'irrelevant' then 1 end), count(case when `signal` = 'outdated' then 1 end), \
     count(case when `signal` = 'wrong' then 1 end), max(case when `signal` = 'useful' then created_at end), \
     max(case when `signal` in ('outdated', 'wrong') then created_at end) from mem_retrieval_feedback \
     group by memory_id";

/// Some rows behind an id; as of a snapshot of the server's own, where one is named.
pub fn v04_memories(table: &str, snapshot: Option<&str>) -> String {
    let at = snapshot.map(|name| format!(" {{snapshot = '{name}'}}")).unwrap_or_default();
    format!(
        "select memory_id, user_id, author_id, subject_id, memory_type, content, session_id, extra_metadata, \
         is_active, superseded_by, trust_tier, initial_confidence, observed_at, created_at, updated_at \
         from `{table}`{at} where memory_id > concat('', ?) order by memory_id limit ?"
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_text_is_compared_with_a_bare_parameter() {
        let texts = ["memory", "project", "session", "subject", "agent", "name", "branch", "op", "model", "memory_id"];
        let sources = [
            include_str!("sql.rs"),
            include_str!("sql/questions.rs"),
            include_str!("sql/upkeep.rs"),
            include_str!("filter.rs"),
        ];
        for line in sources.iter().flat_map(|source| source.lines()) {
            // What a column is set to is never compared.
            let compared = if line.contains(" set ") { line.split(" where ").nth(1).unwrap_or_default() } else { line };
            let words: Vec<&str> = compared.split([' ', '(', '"']).collect();
            for three in words.windows(3).filter(|three| texts.contains(&three[0])) {
                let is_bare = three[2].starts_with('?') && ["=", "<", ">", "<=", ">=", "between"].contains(&three[1]);
                assert!(!is_bare, "{line}");
            }
        }
    }
}
