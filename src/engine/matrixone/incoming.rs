//! A store in a database that comes to be from another store's rows (`engine/copy`). While it does, `meta`, whose row
//! makes the tables a store, is empty, and `moving` says how far it is: whoever opens it is told so.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::Value;
use roaring::RoaringBitmap;
use tokio::runtime::Handle;

use super::pool::Pool;
use super::session::Session;
use super::settings::Settings;
use super::{MatrixOne, failed, give, live, postings, put, row, schema, sql};
use crate::clock;
use crate::engine::copy::{Cut, Giver, Portion, Standing, Table, Taker, of_number};
use crate::engine::history::rows::{CommitRow, Delta, Move, Reply, VersionRow, bitmap, damaged, text_key};
use crate::engine::history::state::replay;
use crate::error::{Error, Result};
use crate::lexical;
use crate::model::canon::Reader;
use crate::model::id::hex;
use crate::model::{NameKind, Salt};

/// For one portion, or for a part of a branch's table.
const DEADLINE: Duration = Duration::from_secs(120);
/// Rows of a branch's table that are made at once.
const ROWS_AT_ONCE: usize = 10_000;

impl Giver for MatrixOne {
    async fn cut(&self) -> Result<Cut> {
        self.blocking(|store| {
            store.ready()?;
            store.pool.read(give::cut)?.ok_or_else(|| damaged("`meta` is empty"))
        })
        .await
    }

    async fn give(&self, cut: &Cut, table: Table, after: &[u8]) -> Result<Portion> {
        let (cut, after) = (cut.clone(), after.to_vec());
        self.blocking(move |store| store.pool.within(DEADLINE).read(|session| give::give(session, &cut, table, &after)))
            .await
    }
}

/// Takes a store in. Connects to nothing before it is asked to.
pub struct Incoming(Arc<Pool>);

impl Incoming {
    /// As [`MatrixOne::open`].
    pub fn open(settings: &Settings, handle: Handle) -> Self {
        Self(Arc::new(Pool::open(settings, handle).within(DEADLINE)))
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Pool) -> Result<T> + Send + 'static) -> Result<T> {
        let pool = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&pool)).await.unwrap_or_else(|_| Err(failed()))
    }
}

/// How far a move into this database is, if one is under way.
pub fn standing(session: &mut Session) -> Result<Option<Standing>> {
    if session.first(sql::HAS_MOVING, vec![])?.is_none() {
        return Ok(None);
    }
    let found = session.first(sql::MOVING, vec![])?;
    found.map(|found| Standing::decode(&row::<(Vec<u8>,)>(found)?.0)).transpose()
}

impl Giver for Incoming {
    async fn cut(&self) -> Result<Cut> {
        let standing = self.standing().await?;
        standing.map(|standing| standing.cut).ok_or_else(none_begun)
    }

    async fn give(&self, cut: &Cut, table: Table, after: &[u8]) -> Result<Portion> {
        let (cut, after) = (cut.clone(), after.to_vec());
        self.blocking(move |pool| pool.read(|session| give::give(session, &cut, table, &after))).await
    }
}

impl Taker for Incoming {
    async fn standing(&self) -> Result<Option<Standing>> {
        self.blocking(|pool| pool.read(standing)).await
    }

    async fn begin(&self, standing: &Standing) -> Result<()> {
        let standing = standing.encode();
        self.blocking(move |pool| {
            pool.read(|session| {
                refuse_a_store(pool, session, sql::CUT)?;
                sql::TABLES.iter().try_for_each(|table| session.text(table))?;
                session.text(sql::CREATE_MOVING)
            })?;
            pool.write(|session| {
                if session.first(sql::LOCK_MOVING, vec![])?.is_some() {
                    return Ok(());
                }
                refuse_a_store(pool, session, sql::LOCK_META)?;
                session.text(sql::DELETE_META)?;
                sql::ROW_TABLES.iter().try_for_each(|table| session.text(&sql::empty(table)))?;
                session.run(sql::INSERT_MOVING, vec![standing.clone().into()]).map(drop)
            })
        })
        .await
    }

    async fn take(&self, portion: Portion, from_scratch: bool, then: &Standing) -> Result<()> {
        let then = then.encode();
        self.blocking(move |pool| {
            pool.write(|session| {
                let before = session.first(sql::LOCK_MOVING, vec![])?.ok_or_else(none_begun)?;
                // Tried again after a COMMIT that was kept and not answered.
                if row::<(Vec<u8>,)>(before)?.0 == then {
                    return Ok(());
                }
                if from_scratch {
                    session.text(&sql::empty(name_of(portion.table)))?;
                }
                put_rows(session, &portion)?;
                put_postings(session, &portion)?;
                session.run(sql::UPDATE_MOVING, vec![then.clone().into()]).map(drop)
            })
        })
        .await
    }

    async fn seal(&self, standing: &Standing) -> Result<()> {
        let cut = standing.cut.clone();
        self.blocking(move |pool| seal(pool, &cut)).await
    }

    async fn abandon(&self) -> Result<()> {
        self.blocking(|pool| {
            pool.read(|session| {
                if standing(session)?.is_none() {
                    return Ok(());
                }
                drop_live_tables(session)?;
                sql::ROW_TABLES.iter().try_for_each(|table| session.text(&sql::empty(table)))?;
                session.text(sql::DROP_MOVING)
            })
        })
        .await
    }
}

fn none_begun() -> Error {
    Error::invalid("no move into this database was begun")
}

/// A store of more than its first, empty commit is nothing to be overwritten.
fn refuse_a_store(pool: &Pool, session: &mut Session, ask: &str) -> Result<()> {
    if session.first(sql::HAS_META, vec![])?.is_none() {
        return Ok(());
    }
    let Some(found) = session.first(ask, vec![])? else { return Ok(()) };
    let (next_vid, next_commit): (Option<u64>, Option<u64>) = match ask {
        sql::CUT => (found.get(1), found.get(2)),
        _ => (found.get(0), found.get(1)),
    };
    if next_vid == Some(0) && next_commit == Some(1) {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "there is a store with a history of its own in {}: name another database in matrixone.url, then move again",
        pool.settings().place()
    )))
}

fn name_of(table: Table) -> &'static str {
    match table {
        Table::Versions => "versions",
        Table::Commits => "commits",
        Table::Wide => "wide",
        Table::States => "states",
        Table::Touches => "touches",
        Table::Moves => "moves",
        Table::Pending => "pending",
        Table::Ops => "ops",
        Table::Erased => "erased",
        Table::Feedback => "feedback",
    }
}

/// A portion's rows, as many to a statement as it takes.
fn put_rows(session: &mut Session, portion: &Portion) -> Result<()> {
    let name = name_of(portion.table);
    let mut values = Vec::new();
    let (mut rows, mut width) = (0, 1);
    for bytes in &portion.rows {
        let row = values_of(portion.table, bytes)?;
        width = row.len();
        values.extend(row);
        rows += 1;
        if values.len() + width > put::VALUES_MAX {
            session.run(&sql::insert_many(name, rows, width), std::mem::take(&mut values))?;
            rows = 0;
        }
    }
    if rows > 0 {
        session.run(&sql::insert_many(name, rows, width), values)?;
    }
    Ok(())
}

/// What versions are searched by.
fn put_postings(session: &mut Session, portion: &Portion) -> Result<()> {
    let mut fresh = Vec::new();
    for bytes in portion.rows.iter().filter(|_| portion.table == Table::Versions) {
        let (vid, version) = of_number(bytes)?;
        if let Some(memory) = VersionRow::decode(version)?.memory()? {
            let words = lexical::analyse(&memory.text);
            fresh.push((vid, memory, words));
        }
    }
    postings::insert(session, fresh.iter().map(|(vid, memory, words)| (*vid, memory, words)))
}

/// A row's columns, in their order.
fn values_of(table: Table, bytes: &[u8]) -> Result<Vec<Value>> {
    Ok(match table {
        Table::Versions => {
            let (vid, version) = of_number(bytes)?;
            version_values(vid, &VersionRow::decode(version)?)?
        }
        Table::Commits => {
            let (number, commit) = of_number(bytes)?;
            put::commit_values(number, &CommitRow::decode(commit)?)?.into()
        }
        Table::Wide | Table::States => {
            let (number, record) = of_number(bytes)?;
            vec![number.into(), record.into()]
        }
        Table::Touches => {
            let (memory, commit) = of_number(bytes)?;
            vec![memory.into(), Reader(commit).u32()?.into()]
        }
        Table::Moves => {
            let mut from = Reader(bytes);
            vec![from.text()?.into(), from.time()?.0.into(), from.u32()?.into(), from.0.into()]
        }
        Table::Pending => {
            let mut from = Reader(bytes);
            vec![from.text()?.into(), from.0.into()]
        }
        Table::Ops => {
            let (op, reply) = bytes.split_at_checked(24).ok_or_else(|| damaged("an operation has no id"))?;
            let (kept, marked) = (Reply::kept_since(reply), Reply::marked_since(reply));
            let at = kept.or(marked).ok_or_else(|| damaged("a stored reply cannot be read"))?;
            vec![hex(op).into(), at.0.into(), marked.is_some().into(), reply.into()]
        }
        Table::Erased => vec![1.into(), bytes.into()],
        Table::Feedback => {
            let (memory, said) = bytes.split_at_checked(16).ok_or_else(|| damaged("feedback names no memory"))?;
            vec![hex(memory).into(), said.into()]
        }
    })
}

fn version_values(vid: u32, version: &VersionRow) -> Result<Vec<Value>> {
    let mut values = Vec::with_capacity(put::VERSION_VALUES);
    values.push(vid.into());
    let (terms, first, id) = (version.terms(), version.first(), version.id().to_string());
    match version {
        VersionRow::Whole { salt, canonical, .. } => {
            let memory = version.memory()?.ok_or_else(|| damaged("a version says nothing"))?;
            values.extend(put::face(&memory, terms));
            values.extend([id.into(), first.into(), hex(&text_key(&memory)).into()]);
            values.extend([salt.0.to_vec().into(), canonical.to_vec().into()]);
        }
        VersionRow::Erased { memory, .. } => {
            values.extend([memory.to_string().into(), 0.into(), 0.into()]);
            values.extend([Value::NULL, Value::NULL, Value::NULL, Value::NULL]);
            values.extend(["".into(), 0.into(), Value::NULL, terms.into()]);
            values.extend([id.into(), first.into(), "".into(), Value::NULL, Value::NULL]);
        }
    }
    Ok(values)
}

/// Makes what follows from the rows (where names stand, and each branch's table), and then the store.
fn seal(pool: &Pool, cut: &Cut) -> Result<()> {
    if pool.read(standing)?.is_none() {
        return Ok(());
    }
    pool.read(drop_live_tables)?;
    let names = pool.read(|session| last_moves(session, cut))?;
    let erased = pool.read(|session| match session.first(sql::ERASED, vec![])? {
        Some(found) => bitmap(&row::<(Vec<u8>,)>(found)?.0),
        None => Err(damaged("`erased` is empty")),
    })?;
    let mut tables: BTreeMap<&str, u32> = BTreeMap::new();
    let mut made: Option<(u32, RoaringBitmap)> = None;
    for (name, last) in &names {
        if !last.is_living() || last.standing.kind != NameKind::Branch {
            continue;
        }
        let state = pool.read(|session| state(session, last.standing.number))? - &erased;
        let table = schema::FIRST_TABLE + tables.len() as u32;
        make_live(pool, table, &state, made.as_ref())?;
        tables.insert(name, table);
        made.get_or_insert((table, state));
    }
    pool.write(|session| {
        // Tried again after a COMMIT that was kept and not answered.
        if session.first(sql::LOCK_MOVING, vec![])?.is_none() {
            return Ok(());
        }
        session.text(&sql::empty("names"))?;
        for (name, last) in &names {
            put::stands(session, name, last, tables.get(name.as_str()).copied())?;
        }
        let next_table = schema::FIRST_TABLE + tables.len() as u32;
        // Other than any before: a daemon that knew the empty store that was here believes nothing of it.
        let upheavals = clock::now().0.unsigned_abs();
        session.text(&sql::empty("moving"))?;
        let meta = vec![
            schema::FORMAT.into(),
            Salt::random().0.to_vec().into(),
            cut.next_vid.into(),
            cut.next_commit.into(),
            next_table.into(),
            upheavals.into(),
        ];
        session.run(sql::WRITE_META, meta).map(drop)
    })?;
    pool.read(|session| session.text(sql::DROP_MOVING))
}

fn drop_live_tables(session: &mut Session) -> Result<()> {
    for found in session.rows(sql::LIVE_TABLES, vec![])? {
        let (name,): (String,) = row(found)?;
        if let Some(table) = name.strip_prefix("live_").and_then(|number| number.parse().ok()) {
            session.text(&sql::drop_live(table))?;
        }
    }
    Ok(())
}

/// Where each name stands in the end.
fn last_moves(session: &mut Session, cut: &Cut) -> Result<BTreeMap<String, Move>> {
    let (mut last, mut after): (BTreeMap<String, Move>, Vec<u8>) = Default::default();
    loop {
        let portion = give::give(session, cut, Table::Moves, &after)?;
        for bytes in &portion.rows {
            let mut from = Reader(bytes);
            let (name, at, seq) = (from.text()?, from.time()?, from.u32()?);
            let made = Move::decode(at, seq, from.0)?;
            if last.get(&name).is_none_or(|before| (before.at, before.seq) < (at, seq)) {
                last.insert(name, made);
            }
        }
        if portion.is_last {
            return Ok(last);
        }
        after = portion.after;
    }
}

fn state(session: &mut Session, number: u32) -> Result<RoaringBitmap> {
    let session = RefCell::new(session);
    let commit = |number: u32| {
        let found = session.borrow_mut().first(sql::COMMIT_ROW, vec![number.into()])?;
        let found = found.ok_or_else(|| damaged(&format!("commit {number} is missing")))?;
        CommitRow::decode(&row::<(Vec<u8>,)>(found)?.0)
    };
    let keyframe = |number: u32| {
        let found = session.borrow_mut().first(sql::STATE, vec![number.into()])?;
        found.map(|found| bitmap(&row::<(Vec<u8>,)>(found)?.0)).transpose()
    };
    replay(commit, keyframe, number)
}

/// A branch's table: copied from one that is there, then changed; the first one is filled.
fn make_live(pool: &Pool, table: u32, state: &RoaringBitmap, made: Option<&(u32, RoaringBitmap)>) -> Result<()> {
    let delta = match made {
        Some((source, held)) => {
            pool.read(|session| session.text(&sql::branch_live(table, *source)))?;
            Delta { added: state - held, removed: held - state }
        }
        None => {
            pool.read(|session| session.text(&sql::create_live(table)))?;
            Delta { added: state.clone(), removed: RoaringBitmap::new() }
        }
    };
    for removed in parts_of(&delta.removed) {
        let part = Delta { added: RoaringBitmap::new(), removed };
        pool.write(|session| live::change(session, table, &part))?;
    }
    for added in parts_of(&delta.added) {
        // Taken out first: a COMMIT that was kept and not answered is done again.
        let part = Delta { removed: added.clone(), added };
        pool.write(|session| live::change(session, table, &part))?;
    }
    Ok(())
}

fn parts_of(vids: &RoaringBitmap) -> impl Iterator<Item = RoaringBitmap> {
    let mut vids = vids.iter();
    std::iter::from_fn(move || {
        let part: RoaringBitmap = vids.by_ref().take(ROWS_AT_ONCE).collect();
        (!part.is_empty()).then_some(part)
    })
}
