//! A whole store, row by row with its local numbers, out of one engine and into another: what is given, what is
//! taken, how far a copy is, and how two stores are compared. Both engines number alike and keep the same rows
//! (`history::rows`), so that nothing is worked out anew. It opens nothing and asks nobody.
//!
//! `carry` is a copy from its beginning to its end, `compare` whether it is the same.
//!
//! What is derived is not copied: the index is built by itself, and vectors follow as they do behind any store.

mod carry;
mod compare;

pub use self::carry::{Progress, Stage, carry};
pub use self::compare::{Agreement, Comparison, agreement};
use super::history::rows::damaged;
use crate::error::{Error, Result};
use crate::model::canon::{Reader, Writer};

/// Bytes of rows after which a portion is full.
pub const PORTION_BYTES: usize = 1 << 20;
/// Rows of one portion: a statement of more takes a server long.
pub const PORTION_ROWS: usize = 4_096;

/// What is copied, in this order: a row comes after those whose numbers it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// vid (u32), then a version's row.
    Versions,
    /// Number (u32), then a commit's row.
    Commits,
    /// Number (u32), then what a wide commit changed.
    Wide,
    /// Number (u32), then the state at a keyframe.
    States,
    /// Number of a memory (u32), number of the commit that touched it (u32).
    Touches,
    /// Name (text), time, `seq` (u32), then the move.
    Moves,
    /// Branch (text), then its merge in progress.
    Pending,
    /// Operation (24 bytes), then its reply.
    Ops,
    /// The bitmap of erased versions: one row, always.
    Erased,
    /// Memory (16 bytes), then what was said of it.
    Feedback,
}

impl Table {
    /// In the order of copying.
    pub const ALL: [Self; 10] = [
        Self::Versions,
        Self::Commits,
        Self::Wide,
        Self::States,
        Self::Touches,
        Self::Moves,
        Self::Pending,
        Self::Ops,
        Self::Erased,
        Self::Feedback,
    ];

    /// Whether rows are only ever appended: a later round goes on behind the last one. Of the others a round takes all
    /// rows afresh.
    pub fn is_appended(self) -> bool {
        self <= Self::States
    }

    fn next(self) -> Option<Self> {
        Self::ALL.get(self as usize + 1).copied()
    }
}

/// What a store is at a moment: rows of lower numbers than these belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Tells this store from every other.
    pub store: [u8; 16],
    pub next_vid: u32,
    pub next_commit: u32,
    /// Of whatever else may have become of its rows: erasing and compacting make another one.
    pub upheaval: [u8; 16],
}

/// Some rows of one table. Each says all of itself, in the form that [`Table`] names.
#[derive(Clone, Debug)]
pub struct Portion {
    pub table: Table,
    pub rows: Vec<Vec<u8>>,
    /// Behind which the next portion begins; empty where the table has no rows. It means something to the giver only.
    pub after: Vec<u8>,
    /// The table has no more.
    pub is_last: bool,
    /// About how much of the table lies behind, 0 to 1.
    pub share: f32,
    bytes: usize,
}

impl Portion {
    pub fn new(table: Table) -> Self {
        Self { table, rows: Vec::new(), after: Vec::new(), is_last: true, share: 1.0, bytes: 0 }
    }

    /// Takes a row in, unless the portion is full: then there is another one.
    pub fn push(&mut self, row: Vec<u8>, after: impl FnOnce() -> Vec<u8>) -> bool {
        if self.rows.len() >= PORTION_ROWS || self.bytes >= PORTION_BYTES {
            self.is_last = false;
            return false;
        }
        self.bytes += row.len();
        self.rows.push(row);
        self.after = after();
        true
    }
}

/// Rows of [`Table::Versions`], [`Table::Commits`], [`Table::Wide`] and [`Table::States`].
pub fn numbered(number: u32, bytes: &[u8]) -> Vec<u8> {
    [&number.to_le_bytes()[..], bytes].concat()
}

/// The number and the rest of such a row.
pub fn of_number(row: &[u8]) -> Result<(u32, &[u8])> {
    let mut from = Reader(row);
    Ok((from.u32()?, from.0))
}

/// Gives a store's rows away; it goes on serving reads meanwhile.
pub trait Giver: Send + Sync {
    fn cut(&self) -> impl Future<Output = Result<Cut>> + Send;

    /// The table's next rows behind `after` (from the first on where that is empty) that belong to the cut: at most
    /// [`PORTION_BYTES`] of them, or one row, and at most [`PORTION_ROWS`].
    fn give(&self, cut: &Cut, table: Table, after: &[u8]) -> impl Future<Output = Result<Portion>> + Send;
}

/// A store that comes to be from another one's rows, and serves nobody before it is sealed. What it says of itself as
/// a [`Giver`] is what it has taken so far.
pub trait Taker: Giver {
    /// How far it came, by whatever process; `None` where nothing has begun.
    fn standing(&self) -> impl Future<Output = Result<Option<Standing>>> + Send;

    /// Begins. A place that holds a store of more than its first, empty commit is [`ErrorKind::Conflict`], and stays
    /// as it is.
    ///
    /// [`ErrorKind::Conflict`]: crate::error::ErrorKind::Conflict
    fn begin(&self, standing: &Standing) -> impl Future<Output = Result<()>> + Send;

    /// Takes rows, in place of those of the same key, and keeps how far that comes: one transaction. `from_scratch`
    /// lets go of the table's rows first.
    fn take(&self, portion: Portion, from_scratch: bool, then: &Standing) -> impl Future<Output = Result<()>> + Send;

    /// Becomes a store, durably and in one step at its end. Called again, it goes on.
    fn seal(&self, standing: &Standing) -> impl Future<Output = Result<()>> + Send;

    /// Lets go of whatever was taken.
    fn abandon(&self) -> impl Future<Output = Result<()>> + Send;
}

/// How far a copy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub cut: Cut,
    pub table: Table,
    /// By table: behind which its next portion begins; empty is its beginning.
    afters: [Vec<u8>; Table::ALL.len()],
}

/// What comes next.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// The next portion of this table, and what to do with it.
    Copy(Table),
    /// Every row of the cut has been taken.
    Whole,
}

impl Standing {
    pub fn new(cut: Cut) -> Self {
        Self { cut, table: Table::Versions, afters: Default::default() }
    }

    /// Behind which the next portion of the table at hand begins.
    pub fn after(&self) -> &[u8] {
        &self.afters[self.table as usize]
    }

    /// Whether the next portion is a table's first of this round, and rows of an earlier one have to go.
    pub fn is_from_scratch(&self) -> bool {
        !self.table.is_appended() && self.after().is_empty()
    }

    /// After that portion.
    pub fn beyond(&self, portion: &Portion) -> (Self, Next) {
        let mut then = self.clone();
        if !portion.after.is_empty() {
            then.afters[self.table as usize].clone_from(&portion.after);
        }
        if !portion.is_last {
            return (then, Next::Copy(self.table));
        }
        match self.table.next() {
            Some(table) => {
                then.table = table;
                (then, Next::Copy(table))
            }
            None => (then, Next::Whole),
        }
    }

    /// The same copy of what the store is by now: what was appended since comes too. `Conflict` where rows that were
    /// copied are no longer what they were.
    pub fn again(&self, cut: Cut) -> Result<Self> {
        if (cut.store, cut.upheaval) != (self.cut.store, self.cut.upheaval) {
            return Err(Error::conflict(
                "the store was compacted, or memories were erased, since this move began: give it up with \
                 `--abandon`, then begin it again",
            ));
        }
        let mut again = Self { cut, table: Table::Versions, afters: self.afters.clone() };
        for table in Table::ALL.into_iter().filter(|table| !table.is_appended()) {
            again.afters[table as usize].clear();
        }
        Ok(again)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.fixed(&self.cut.store).u32(self.cut.next_vid).u32(self.cut.next_commit).fixed(&self.cut.upheaval);
        out.u8(self.table as u8);
        self.afters.iter().for_each(|after| {
            out.bytes(after);
        });
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader(bytes);
        let cut =
            Cut { store: from.array()?, next_vid: from.u32()?, next_commit: from.u32()?, upheaval: from.array()? };
        let table = Table::ALL.get(usize::from(from.u8()?)).copied();
        let table = table.ok_or_else(|| damaged("it is not known how far a move has come"))?;
        let mut afters: [Vec<u8>; Table::ALL.len()] = Default::default();
        // A move that an older build began knows fewer tables.
        for after in afters.iter_mut().take_while(|_| !from.0.is_empty()) {
            *after = from.bytes()?.to_vec();
        }
        from.end()?;
        Ok(Self { cut, table, afters })
    }
}
