//! What every engine does alike, by local numbers: rows of history, ways through it, diffs, plans, drafts, names, the
//! judging of a write and listings. It reads through [`Truth`], [`Past`] and [`Ground`]; it stores nothing, and knows
//! neither a file nor a server.
//!
//! `rows` is the bytes of what is stored, `state` what is live at a commit, `graph` the ways through history; `diff`,
//! `listing` and `prefix` are what is asked of it, `plan`, `draft`, `naming`, `commit` and `judge` how a write becomes
//! what is to be stored, `erasure` and `lives` what is to be forgotten, `audit` what is promised
//! of all of it.

pub mod audit;
pub mod commit;
pub mod diff;
pub mod draft;
pub mod erasure;
pub mod graph;
pub mod judge;
pub mod listing;
pub mod lives;
pub mod naming;
pub mod plan;
pub mod prefix;
pub mod rows;
pub mod state;

use std::sync::Arc;

use roaring::RoaringBitmap;

use self::rows::{CommitRow, Delta, Move, Place, VersionRow};
use self::state::{Head, State};
use crate::error::{Error, Result};
use crate::lexical;
use crate::model::{Applied, CommitId, Filter, MemoryId, Name, OpId, Pending, Time, VersionId};

/// Where commits stand. Whoever walks history asks for one place after another, mostly from new to old: where a
/// look-up costs a round trip, an implementation reads ahead and remembers. Places never change.
pub trait Places {
    /// A commit that is missing is [`ErrorKind::Corrupt`](crate::error::ErrorKind::Corrupt).
    fn place(&self, number: u32) -> Result<Place>;
}

/// Truth by local numbers, as one reader or one writer sees it. Methods block. Rows of commits and versions never
/// change but by erasing. What ought to be there and is not is [`ErrorKind::Corrupt`](crate::error::ErrorKind::Corrupt)
/// ([`rows::damaged`]).
///
/// A writer's truth holds what earlier writes of the same transaction did: their commits, versions, moves and heads.
pub trait Truth: Places {
    fn commit(&self, number: u32) -> Result<CommitRow>;

    /// `None` where there is no such commit.
    fn number_of(&self, id: CommitId) -> Result<Option<u32>>;

    /// The state of a commit as the commits make it, erased versions included.
    fn raw(&self, number: u32) -> Result<Arc<RoaringBitmap>>;

    /// The versions whose bytes are gone.
    fn erased(&self) -> Arc<RoaringBitmap>;

    /// Reads one version's row.
    fn version<T>(&self, vid: u32, read: impl FnOnce(&VersionRow) -> Result<T>) -> Result<T>;

    /// Every version of a memory, rising, erased ones too; none where there is no such memory.
    fn vids_of(&self, id: &MemoryId) -> Result<Vec<u32>>;

    /// The last move of a name up to a time, that time included.
    fn last_move(&self, name: &Name, until: Time) -> Result<Option<Move>>;

    /// The first `limit` living branches by name, for a sentence.
    fn branches(&self, limit: usize) -> Result<Vec<Name>>;

    /// Raised whenever history is changed under those who work something out: by erasing and compacting.
    fn upheavals(&self) -> u64;

    /// These versions are asked for next, one by one, by [`Truth::version`]: only what the last call named need be
    /// remembered. `vids` is worked out only if it is called. Mostly they are few; of very many, some may be left out.
    fn soon(&self, vids: impl FnOnce() -> RoaringBitmap) -> Result<()> {
        let _ = vids;
        Ok(())
    }

    /// These commits are asked for next, one by one, by [`Truth::commit`] and [`Past::wide`]; the same applies.
    fn soon_commits(&self, numbers: &[u32]) -> Result<()> {
        let _ = numbers;
        Ok(())
    }
}

/// The number of a commit that somebody named; of one that is not there `NotFound`.
pub fn number_of(truth: &impl Truth, id: CommitId) -> Result<u32> {
    truth.number_of(id)?.ok_or_else(|| Error::not_found(format!("there is no commit {id}")))
}

/// A version at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief {
    /// The number of its memory: the vid of that memory's first version.
    pub first: u32,
    pub memory: MemoryId,
    pub version: VersionId,
}

/// Truth for those who ask about history and work plans out.
pub trait Past: Truth {
    /// What is live at a commit, to be read. An implementation remembers the last few ([`state::States`]).
    fn state(&self, number: u32) -> Result<Arc<State>>;

    /// What a wide commit changed.
    fn wide(&self, number: u32) -> Result<Delta>;

    /// What every wide commit up to this number changed, in order, each let go before the next is read.
    fn wides_until(&self, number: u32, see: impl FnMut(u32, Delta) -> Result<()>) -> Result<()>;

    /// The narrow commits that changed the memory of this number, rising.
    fn touches(&self, memory: u32) -> Result<Vec<u32>>;

    /// The number of each one's memory, in the order of the vids.
    fn memory_numbers(&self, vids: &RoaringBitmap) -> Result<Vec<u32>>;

    /// Those of the versions that are of these memories, each as its memory's number and its own, in any order. There
    /// may be very many versions, and few memories.
    fn versions_of(&self, memories: &RoaringBitmap, vids: &RoaringBitmap) -> Result<Vec<(u32, u32)>> {
        let numbers = self.memory_numbers(vids)?;
        Ok(numbers.into_iter().zip(vids).filter(|(memory, _)| memories.contains(*memory)).collect())
    }

    /// The ids of memories by number, in the order asked for.
    fn ids(&self, memories: &[u32]) -> Result<Vec<MemoryId>>;

    /// In the order of the vids.
    fn version_ids(&self, vids: &RoaringBitmap) -> Result<Vec<VersionId>>;

    /// In the order of the vids. Erased versions have theirs, too.
    fn briefs(&self, vids: &RoaringBitmap) -> Result<Vec<Brief>>;

    /// The lengths in terms of these versions, together.
    fn terms_of(&self, vids: &RoaringBitmap) -> Result<u64>;

    /// Those of the versions that pass the filter and have not expired at `now` (at [`Time::MIN`] none has). An erased
    /// version passes nothing.
    fn passing(&self, vids: &RoaringBitmap, filter: &Filter, now: Time) -> Result<RoaringBitmap>;

    /// The first move of a name after a time.
    fn next_move(&self, name: &Name, after: Time) -> Result<Option<Move>>;

    /// Every name that ever was, by name, with its last move.
    fn every_name(&self) -> Result<Vec<(Name, Move)>>;
}

/// A text as an engine takes it in, worked out before the writer's turn.
pub trait Analysed: Sized + Send + 'static {
    fn of(text: &str) -> Self;

    /// How long the text is in terms, as `lexical::analyse` says.
    fn terms(&self) -> u32;
}

impl Analysed for lexical::Words {
    fn of(text: &str) -> Self {
        lexical::analyse(text)
    }

    fn terms(&self) -> u32 {
        self.len
    }
}

/// What a write is judged on, inside the transaction that will hold it. Judging only reads.
pub trait Ground: Truth {
    type Words: Analysed;

    /// The stored reply of an operation: [`rows::Reply::applied`] of its row.
    fn replayed(&self, op: OpId) -> Result<Option<Applied>>;

    fn head(&self, branch: &Name) -> Result<Option<Arc<Head>>>;

    /// The versions that have this [`text_key`](rows::text_key), rising, live or not. Erased ones have none.
    fn twins(&self, text: &[u8; 16]) -> Result<Vec<u32>>;

    fn pending(&self, branch: &Name) -> Result<Option<Pending>>;

    /// The vid that the next version gets.
    fn next_vid(&self) -> Result<u32>;

    /// The number that the next commit gets.
    fn next_commit(&self) -> Result<u32>;

    /// All memories and texts of a write whose steps are judged next, one by one: [`Truth::vids_of`],
    /// [`Ground::twins`] and [`Truth::version`] of what those find can be read in one go.
    fn prepare(&self, ids: impl Iterator<Item = MemoryId>, texts: impl Iterator<Item = [u8; 16]>) -> Result<()> {
        let _ = (ids, texts);
        Ok(())
    }
}
