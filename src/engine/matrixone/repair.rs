//! Repair: what follows from versions and commits is made anew where it is not what it ought to be: the columns by
//! which versions are searched, and branches' tables. Then everything is checked. Truth itself is the server's to keep,
//! and to bring back from its own backups.

use mysql_async::Value;
use roaring::RoaringBitmap;

use super::erase::stray_tables;
use super::store::Store;
use super::truth::Reader;
use super::verify::{self, SUMS_AT_ONCE, Sums};
use super::{live, postings, put, sql};
use crate::engine::history::audit::Checking;
use crate::engine::history::rows::{Delta, text_key};
use crate::engine::history::{Past, Truth};
use crate::error::Result;
use crate::lexical;
use crate::model::id::hex;
use crate::model::{Check, Memory, MemoryId, NameKind};

impl Store {
    /// Makes anew what follows from versions and commits, then verifies.
    pub fn repair(&self) -> Result<Vec<Check>> {
        let pool = self.patient()?;
        self.commits.rest();
        self.states.forget_all();
        let (repaired, tables) = self.alone(&pool, |ground| {
            let mut readable = Checking::of("Every row of the store can be read.");
            columns(ground, &mut readable)?;
            tables_of_branches(ground, &mut readable)?;
            ground.run(sql::RAISE, vec![])?;
            Ok((readable.done(), stray_tables(ground)?))
        })?;
        self.drop_tables(&tables)?;
        let mut checks = vec![repaired];
        checks.extend(self.verify()?);
        Ok(checks)
    }
}

/// The columns and rows by which versions are searched.
fn columns(ground: &Reader, readable: &mut Checking) -> Result<()> {
    let mut sums = Sums::default();
    verify::every_version(ground, |page| {
        for (vid, judged) in page {
            readable.check.checked += 1;
            let Some(judged) = readable.read(|| format!("version {vid}"), judged) else { continue };
            sums.expect(vid, judged.sum);
            if let Some(memory) = judged.whole.filter(|_| judged.is_stale) {
                let analysed = lexical::analyse(&memory.text);
                let mut values: Vec<Value> = put::face(&memory, analysed.len).into_iter().collect();
                values.extend([hex(&text_key(&memory)).into(), vid.into()]);
                ground.run(&sql::put_face(), values)?;
            }
        }
        say_again(ground, &sums.compare(ground, SUMS_AT_ONCE)?)
    })?;
    say_again(ground, &sums.compare(ground, 0)?)
}

/// The words and sessions of these versions; of those that are not there, none.
fn say_again(ground: &Reader, vids: &RoaringBitmap) -> Result<()> {
    ground.with(|session| postings::forget(session, vids))?;
    let mut some: Vec<(u32, MemoryId, Option<Memory>)> = Vec::new();
    ground.each(sql::STORED, vids, |found| ground.remember(found))?;
    for vid in vids {
        if let Ok(said) = ground.version(vid, |row| Ok((vid, row.memory_id()?, row.memory()?))) {
            some.push(said);
        }
    }
    ground.with(|session| {
        for (vid, id, memory) in &some {
            match memory {
                Some(memory) => {
                    let words = lexical::analyse(&memory.text);
                    postings::insert(session, std::iter::once((*vid, memory, &words)))?;
                }
                None => postings::insert_begun(session, *vid, id)?,
            }
        }
        Ok(())
    })
}

fn tables_of_branches(ground: &Reader, readable: &mut Checking) -> Result<()> {
    for (name, last) in ground.every_name()? {
        if !last.is_living() || last.standing.kind != NameKind::Branch {
            continue;
        }
        let what = || format!("the state of `{name}`");
        let Some(state) = readable.read(what, ground.state(last.standing.number)) else { continue };
        let held = ground.live(&name)?.map(|table| Ok::<_, crate::error::Error>((table, verify::held(ground, table)?)));
        let table = match held {
            Some(Ok((table, held))) => {
                let other = verify::differing(ground, table)?;
                let removed = (&held - &*state.served) | &other;
                let added = (&*state.served - &held) | (other & &*state.served);
                ground.with(|session| live::change(session, table, &Delta { added, removed }))?;
                continue;
            }
            // One that is lost is made of another branch's.
            Some(Err(_)) | None => live::make(ground, &state.served)?,
        };
        ground.run(sql::PUT_TABLE, vec![table.into(), name.as_str().into()])?;
    }
    Ok(())
}
