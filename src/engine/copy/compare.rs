//! Whether two stores are the same: row by row as they are stored, then by what they serve. It changes nothing.

use super::{Cut, Giver, Table};
use crate::engine::{At, Engine, Names};
use crate::error::{Error, Result};
use crate::lexical::terms_of_question;
use crate::model::{Candidates, Filter, NameKind, Page, Query, Revision, Time, VersionId};

/// Questions that both stores are asked.
const QUESTIONS: u32 = 20;
/// Words of a stored text that make a question.
const WORDS: usize = 3;
/// Memories of the newest page of each branch.
const PAGE: u32 = 50;
/// Candidates of a question. Where there are more, stores may differ on which of equal ones come.
const CANDIDATES: usize = 200;

/// How far comparing is.
#[derive(Debug)]
pub struct Comparison {
    table: Table,
    sides: [Digest; 2],
}

/// Of a table's rows, whatever their order: how many, and the sum of their hashes.
#[derive(Debug, Default)]
struct Digest {
    after: Vec<u8>,
    is_whole: bool,
    rows: u64,
    sum: u128,
}

impl Digest {
    async fn read(&mut self, from: &impl Giver, cut: &Cut, table: Table) -> Result<f32> {
        let portion = from.give(cut, table, &self.after).await?;
        for row in &portion.rows {
            let hash: [u8; 16] = std::array::from_fn(|at| blake3::hash(row).as_bytes()[at]);
            self.sum = self.sum.wrapping_add(u128::from_le_bytes(hash));
            self.rows += 1;
        }
        if !portion.after.is_empty() {
            self.after = portion.after;
        }
        self.is_whole = portion.is_last;
        Ok(portion.share)
    }
}

impl Default for Comparison {
    fn default() -> Self {
        Self { table: Table::Versions, sides: Default::default() }
    }
}

impl Comparison {
    /// Reads a portion of either side. `None` when all tables were found equal, else the table and its share; an error
    /// when one differs.
    pub async fn step(&mut self, of: &impl Giver, with: &impl Giver, cut: &Cut) -> Result<Option<(Table, f32)>> {
        let mut share = 1.0;
        let [ours, theirs] = &mut self.sides;
        if !ours.is_whole {
            share = ours.read(of, cut, self.table).await?;
        }
        if !theirs.is_whole {
            share = theirs.read(with, cut, self.table).await?;
        }
        if !(ours.is_whole && theirs.is_whole) {
            return Ok(Some((self.table, share)));
        }
        if (ours.rows, ours.sum) != (theirs.rows, theirs.sum) {
            return Err(Error::corrupt(format!(
                "the copy is not the same: of {:?} there are {} rows here and {} there. Give it up with `--abandon`, \
                 run `memoria verify`, and move again.",
                self.table, ours.rows, theirs.rows
            )));
        }
        let Some(next) = self.table.next() else { return Ok(None) };
        *self = Self { table: next, ..Self::default() };
        Ok(Some((next, 0.0)))
    }
}

/// What two stores were found to agree on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    pub branches: u32,
    pub snapshots: u32,
    pub commits: u32,
    pub questions: u32,
}

/// Whether both serve the same: names, heads, states, the newest pages and answers to questions made of stored texts.
/// Vectors are left out, since they follow later. An error says what differs.
pub async fn agreement(one: &impl Engine, other: &impl Engine, now: Time) -> Result<Agreement> {
    let names = one.names(Names::All).await?;
    same("branches and snapshots", &names, &other.names(Names::All).await?)?;
    let mut found = Agreement { commits: one.status(now).await?.commits, ..Agreement::default() };
    same("number of commits", &found.commits, &other.status(now).await?.commits)?;
    for name in names.into_iter().filter(|name| !name.is_deleted) {
        let revision = Revision::Name(name.name);
        let (ours, theirs) = (one.resolve(&revision, now).await?, other.resolve(&revision, now).await?);
        same("heads", &ours.commit, &theirs.commit)?;
        same("states", &(ours.live, ours.tokens, &ours.state), &(theirs.live, theirs.tokens, &theirs.state))?;
        match name.kind {
            NameKind::Snapshot => found.snapshots += 1,
            NameKind::Branch => {
                found.branches += 1;
                found.questions += same_answers(one, other, [&ours, &theirs], QUESTIONS - found.questions).await?;
            }
        }
    }
    Ok(found)
}

/// Asks both for the newest page of a branch, and what its texts are about; says how many questions that made.
async fn same_answers(one: &impl Engine, other: &impl Engine, at: [&At; 2], questions_max: u32) -> Result<u32> {
    let (filter, page) = (Filter::default(), Page { offset: 0, limit: PAGE });
    let newest = one.page(at[0], &filter, page).await?;
    same("newest memories", &newest, &other.page(at[1], &filter, page).await?)?;
    let mut asked = 0;
    for version in newest.memories.iter().take(questions_max as usize) {
        let mut terms = terms_of_question(&version.memory.text);
        terms.truncate(WORDS);
        let query = Query { terms, vector: None, filter: filter.clone(), limit: CANDIDATES, around: 0 };
        let (ours, theirs) = (one.candidates(at[0], &query).await?, other.candidates(at[1], &query).await?);
        same("answers", &said(&ours), &said(&theirs))?;
        asked += 1;
    }
    Ok(asked)
}

/// What an answer follows from: statistics, and every candidate where they are not too many to be compared.
fn said(of: &Candidates) -> (u32, u64, &[u32], Vec<(VersionId, &[u16])>) {
    let mut found: Vec<_> = match of.found.len() < CANDIDATES {
        true => of.found.iter().map(|one| (one.version.id, &one.words.frequencies[..])).collect(),
        false => Vec::new(),
    };
    found.sort_unstable();
    (of.live, of.tokens, &of.document_frequencies, found)
}

fn same<T: PartialEq>(what: &str, ours: &T, theirs: &T) -> Result<()> {
    if ours == theirs {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "the copy does not serve the same {what}: leave `[engine] kind` as it is, and report this, with what \
         `memoria verify` says"
    )))
}
