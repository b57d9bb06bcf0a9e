//! Snapshots of the server's own behind those that somebody named: what a database administrator sees, and can restore
//! from. Ours never need them. One is made before the transaction that names it and let go where that came to nothing.

use mysql_async::Value;

use super::live::Live;
use super::store::Store;
use super::truth::Reader;
use super::write::Left;
use super::{live, row, sql};
use crate::engine::history::Truth;
use crate::engine::history::rows::{Event, Move};
use crate::error::{ErrorKind, Result};
use crate::model::id::hex;
use crate::model::{Name, NameChange, NameKind, OpId, Write};

/// What the server's own snapshots of ours are called, before some hex digits.
pub const PREFIX: &str = "memoria_";

/// A snapshot of the server's own that no row names yet.
pub struct Native {
    /// Under which operation it was made.
    pub op: OpId,
    pub name: Name,
    ident: String,
    of: Live,
}

impl Native {
    /// What the server calls it.
    pub fn ident(&self) -> &str {
        &self.ident
    }
}

impl Store {
    /// Makes one for each snapshot that a write names, where a branch stands at that commit and the server has room for
    /// it. That it has none is no error.
    pub fn natives_for(&self, op: OpId, write: &Write) -> Vec<Native> {
        let named = write.names.iter().filter_map(|change| match change {
            NameChange::Create { name, kind: NameKind::Snapshot, commit, .. } => Some((name, *commit)),
            _ => None,
        });
        let mut made = Vec::new();
        for (place, (name, commit)) in named.enumerate() {
            let ident = format!("{PREFIX}{}{place}", hex(&op.to_bytes()));
            let native = self.reading(|reader| {
                let number = reader.number_of(commit)?;
                let of = reader.with(live::all)?.into_iter().find(|live| Some(live.number) == number);
                let Some(of) = of else { return Ok(None) };
                let database = &self.pool.settings().database;
                reader.with(|session| session.text(&sql::create_native(&ident, database, of.table)))?;
                Ok(Some(of))
            });
            match native {
                Ok(Some(of)) => made.push(Native { op, name: name.clone(), ident, of }),
                Ok(None) => {}
                Err(error) => tracing::info!("snapshot `{name}` is ours alone: {error}"),
            }
        }
        made
    }

    /// One that stays because of an error goes with the next compaction.
    pub fn drop_native(&self, ident: &str) {
        if let Err(error) = self.pool.read(|session| session.text(&sql::drop_native(ident))) {
            tracing::warn!("a snapshot of the server's own stays for now: {error}");
        }
    }

    /// Snapshots of the server's own that no name has any more, from transactions that came to nothing. One that is
    /// younger than `age_min_s` may be about to be named.
    pub fn drop_orphans(&self, age_min_s: u32) -> Result<()> {
        let orphans = self.reading(|reader| {
            let there = reader
                .rows(sql::NATIVES_THERE, vec![self.pool.settings().database.as_str().into(), age_min_s.into()])?;
            let known = reader.rows(sql::NATIVES, vec![])?;
            let known: Vec<String> =
                known.into_iter().map(|found| row(found).map(|(ident,)| ident)).collect::<Result<_>>()?;
            let there = there.into_iter().map(|found| row(found).map(|(ident,)| ident));
            there
                .filter(|ident: &Result<String>| ident.as_ref().is_ok_and(|ident| !known.contains(ident)))
                .collect::<Result<Vec<_>>>()
        });
        match orphans {
            Ok(orphans) => orphans.iter().for_each(|ident| self.drop_native(ident)),
            // An account that may not see snapshots has none.
            Err(error) if error.kind == ErrorKind::Denied => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What a move of a name means for the native snapshot behind it. One is written down only if it was made of just what
/// the name stands for, and no writer came between.
pub fn follow(ground: &Reader, name: &Name, after: &Move, native: Option<&Native>, left: &mut Left) -> Result<()> {
    if after.standing.kind == NameKind::Branch {
        return Ok(());
    }
    let name_value = || Value::from(name.as_str());
    match &after.event {
        Event::Created => {
            if let Some(native) = native.filter(|native| native.of.number == after.standing.number)
                && ground.with(live::all)?.contains(&native.of)
            {
                ground.run(sql::PUT_NATIVE, vec![name_value(), native.ident().into()])?;
                left.natives.push(name.clone());
            }
        }
        Event::RenamedFrom(before) => {
            ground.run(sql::RENAME_NATIVE, vec![name_value(), before.as_str().into()])?;
        }
        Event::Deleted => {
            if let Some(found) = ground.first(sql::NATIVE_OF, vec![name_value()])? {
                let (ident,) = row(found)?;
                left.unnamed.push(ident);
                ground.run(sql::DELETE_NATIVE, vec![name_value()])?;
            }
        }
        Event::Moved | Event::RenamedAway | Event::Restored | Event::Protected => {}
    }
    Ok(())
}
