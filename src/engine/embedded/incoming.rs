//! A store of this engine that comes to be from another store's rows (`engine/copy`): a file beside the place of the
//! store, which takes that place when it is whole. So no half of a store is ever opened as one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition, TableError, WriteTransaction};

use super::disk::Disk;
use super::give;
use super::opener::kept;
use super::positioned::sync_folder;
use super::tables::{
    COMMIT_IDS, COMMITS, CommitRow, ERASED, FEEDBACK, FORMAT, META, Meta, NAMES, OPS, PENDING, STATES, Snapshot,
    TOUCHES, VERSIONS, WIDE, damaged, move_key, touch,
};
use crate::engine::copy::{Cut, Giver, Portion, Standing, Table, Taker, of_number};
use crate::error::{Error, Result};
use crate::model::canon::Reader;
use crate::model::{Name, Salt};

/// One row, only until the store is whole: [`Standing`].
const MOVE: TableDefinition<'static, (), &[u8]> = TableDefinition::new("move");

/// Takes a store in. Nothing is made before [`Taker::begin`].
pub struct Incoming(Arc<Place>);

struct Place {
    store: PathBuf,
    cache_bytes: usize,
    /// `None` while it is not there, and once it is sealed.
    database: Mutex<Option<Database>>,
}

impl Incoming {
    /// For the store at `store`, which must not be open. A move that was begun earlier is found again. Blocks.
    pub fn open(store: &Path, cache_bytes: usize) -> Result<Self> {
        let place = Place { store: store.to_owned(), cache_bytes, database: Mutex::default() };
        if place.file().try_exists().map_err(|source| Error::io("look for a move that was begun", &source))? {
            *place.database() = Some(place.opened()?);
        }
        Ok(Self(Arc::new(place)))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Place, &mut Option<Database>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = Arc::clone(&self.0);
        let work = tokio::task::spawn_blocking(move || work(&place, &mut place.database()));
        work.await.unwrap_or_else(|_| Err(Error::corrupt("the file of a move that was begun cannot be read")))
    }
}

impl Place {
    fn file(&self) -> PathBuf {
        self.store.with_extension("redb.moving")
    }

    fn database(&self) -> std::sync::MutexGuard<'_, Option<Database>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> Result<Database> {
        let failed = |source| Error::io(format!("write {}", self.file().display()), &source);
        let file = Disk::holding(kept(&self.file())?, Arc::default());
        file.accept().map_err(failed)?;
        Ok(redb::Builder::new().set_cache_size(self.cache_bytes).create_with_backend(file)?)
    }

    /// A store with memories in the place is nothing to be overwritten.
    fn refuse_a_store(&self) -> Result<()> {
        let path = self.store.display();
        match fs::metadata(&self.store) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io(format!("look at {path}"), &error)),
            Ok(_) => {}
        }
        let database = redb::Builder::new().set_cache_size(self.cache_bytes).open(&self.store)?;
        let truth = Snapshot(database.begin_read()?);
        if truth.open(VERSIONS)?.len()? > 0 || truth.open(COMMITS)?.len()? > 1 {
            return Err(Error::conflict(format!(
                "there is a store with a history of its own in {path}: rename that file, then move again"
            )));
        }
        Ok(())
    }
}

/// What there is of a file that a move has begun.
fn begun(database: &Option<Database>) -> Result<&Database> {
    database.as_ref().ok_or_else(|| Error::invalid("no move into this store was begun"))
}

fn write(database: &Database, fill: impl FnOnce(&WriteTransaction) -> Result<()>) -> Result<()> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    fill(&transaction)?;
    Ok(transaction.commit()?)
}

fn keep(transaction: &WriteTransaction, standing: &Standing) -> Result<()> {
    transaction.open_table(MOVE)?.insert((), standing.encode().as_slice())?;
    Ok(())
}

impl Giver for Incoming {
    async fn cut(&self) -> Result<Cut> {
        let standing = self.standing().await?;
        standing.map(|standing| standing.cut).ok_or_else(|| Error::invalid("no move into this store was begun"))
    }

    async fn give(&self, cut: &Cut, table: Table, after: &[u8]) -> Result<Portion> {
        let (cut, after) = (cut.clone(), after.to_vec());
        self.blocking(move |_, database| give::give(&Snapshot(begun(database)?.begin_read()?), &cut, table, &after))
            .await
    }
}

impl Taker for Incoming {
    async fn standing(&self) -> Result<Option<Standing>> {
        self.blocking(|_, database| {
            let Some(database) = database else { return Ok(None) };
            match Snapshot(database.begin_read()?).0.open_table(MOVE) {
                Err(TableError::TableDoesNotExist(_)) => Ok(None),
                table => table?.get(())?.map(|row| Standing::decode(row.value())).transpose(),
            }
        })
        .await
    }

    async fn begin(&self, standing: &Standing) -> Result<()> {
        let standing = standing.clone();
        self.blocking(move |place, database| {
            place.refuse_a_store()?;
            let database = match database {
                Some(database) => database,
                none => none.insert(place.opened()?),
            };
            write(database, |transaction| {
                for table in [VERSIONS, COMMITS, WIDE, STATES] {
                    transaction.open_table(table)?;
                }
                transaction.open_table(COMMIT_IDS)?;
                transaction.open_table(TOUCHES)?;
                transaction.open_table(NAMES)?;
                transaction.open_table(PENDING)?;
                transaction.open_table(OPS)?;
                transaction.open_table(ERASED)?;
                keep(transaction, &standing)
            })
        })
        .await
    }

    async fn take(&self, portion: Portion, from_scratch: bool, then: &Standing) -> Result<()> {
        let then = then.clone();
        self.blocking(move |_, database| {
            write(begun(database)?, |transaction| {
                if from_scratch {
                    clear(transaction, portion.table)?;
                }
                put(transaction, &portion)?;
                keep(transaction, &then)
            })
        })
        .await
    }

    async fn seal(&self, standing: &Standing) -> Result<()> {
        let Cut { next_vid, next_commit, .. } = standing.cut;
        self.blocking(move |place, database| {
            // A store of its own: nothing that was derived of another one is taken for its.
            let meta =
                Meta { format: FORMAT, store: Salt::random().0, generation: 1, next_vid, next_commit, scrub: false };
            write(begun(database)?, |transaction| {
                transaction.delete_table(MOVE)?;
                transaction.open_table(META)?.insert((), meta.encode().as_slice())?;
                Ok(())
            })?;
            place.refuse_a_store()?;
            drop(database.take());
            let failed = |source| Error::io(format!("put {} into its place", place.file().display()), &source);
            fs::rename(place.file(), &place.store).map_err(failed)?;
            place.store.parent().map_or(Ok(()), sync_folder).map_err(failed)
        })
        .await
    }

    async fn abandon(&self) -> Result<()> {
        self.blocking(|place, database| {
            drop(database.take());
            match fs::remove_file(place.file()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::io("remove what was moved so far", &error))
                }
                _ => Ok(()),
            }
        })
        .await
    }
}

fn clear(transaction: &WriteTransaction, table: Table) -> Result<()> {
    match table {
        Table::Versions | Table::Commits | Table::Wide | Table::States => {}
        Table::Touches => transaction.open_table(TOUCHES)?.retain(|_, ()| false)?,
        Table::Moves => transaction.open_table(NAMES)?.retain(|_, _| false)?,
        Table::Pending => transaction.open_table(PENDING)?.retain(|_, _| false)?,
        Table::Ops => transaction.open_table(OPS)?.retain(|_, _| false)?,
        Table::Erased => transaction.open_table(ERASED)?.retain(|(), _| false)?,
        Table::Feedback => transaction.open_table(FEEDBACK)?.retain(|_, _| false)?,
    }
    Ok(())
}

fn put(transaction: &WriteTransaction, portion: &Portion) -> Result<()> {
    let rows = &portion.rows;
    match portion.table {
        Table::Versions => put_numbered(transaction, VERSIONS, rows)?,
        Table::Commits => {
            put_numbered(transaction, COMMITS, rows)?;
            let mut ids = transaction.open_table(COMMIT_IDS)?;
            for row in rows {
                let (number, commit) = of_number(row)?;
                ids.insert(&CommitRow::decode(commit)?.id().0, number)?;
            }
        }
        Table::Wide => put_numbered(transaction, WIDE, rows)?,
        Table::States => put_numbered(transaction, STATES, rows)?,
        Table::Touches => {
            let mut touches = transaction.open_table(TOUCHES)?;
            for row in rows {
                let (memory, commit) = of_number(row)?;
                touches.insert(touch(memory, Reader(commit).u32()?), ())?;
            }
        }
        Table::Moves => {
            let mut names = transaction.open_table(NAMES)?;
            for row in rows {
                let mut from = Reader(row);
                let name: Name = from.text()?.parse()?;
                let key = move_key(&name, from.time()?, from.u32()?);
                names.insert(key.as_slice(), from.0)?;
            }
        }
        Table::Pending => {
            let mut pending = transaction.open_table(PENDING)?;
            for row in rows {
                let mut from = Reader(row);
                let branch = from.text()?;
                pending.insert(branch.as_str(), from.0)?;
            }
        }
        Table::Ops => {
            let mut ops = transaction.open_table(OPS)?;
            for row in rows {
                let (op, reply) = row.split_first_chunk::<24>().ok_or_else(|| damaged("an operation has no id"))?;
                ops.insert(op, reply)?;
            }
        }
        Table::Feedback if rows.is_empty() => {}
        Table::Feedback => {
            let mut feedback = transaction.open_table(FEEDBACK)?;
            for row in rows {
                let (memory, said) =
                    row.split_first_chunk::<16>().ok_or_else(|| damaged("feedback names no memory"))?;
                feedback.insert(memory, said)?;
            }
        }
        Table::Erased => {
            for row in rows {
                transaction.open_table(ERASED)?.insert((), row.as_slice())?;
            }
        }
    }
    Ok(())
}

fn put_numbered(
    transaction: &WriteTransaction,
    table: TableDefinition<'static, u32, &'static [u8]>,
    rows: &[Vec<u8>],
) -> Result<()> {
    let mut table = transaction.open_table(table)?;
    for row in rows {
        let (number, bytes) = of_number(row)?;
        table.insert(number, bytes)?;
    }
    Ok(())
}
