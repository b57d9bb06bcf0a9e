//! New memories that wait on this machine for a server that is away (`matrixone.offline_queue`), and what the server
//! refused of them for good: what may wait, what is told of it, when a record goes. `log.rs` is the file.
//!
//! Sending is safe to repeat: the operation's id goes along, and the server knows it until the record is gone, since
//! what the agent acknowledges meanwhile is held back here. So a write whose COMMIT nobody answered may wait as well.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::log::{Log, Span};
use super::write::Order;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::model::canon::{Reader, Writer};
use crate::model::{
    Applied, Author, Change, Counts, Memory, Name, OpId, Outcome, Progress, ProjectId, SessionId, Time, Verb, Waiting,
    Waits, Work, Write,
};

/// Records that are sent in one transaction; fewer after one that took longer than a request may.
const SENT_AT_ONCE: usize = 64;
/// How long one request sends what others wrote before it; the rest goes behind it.
const SENDING_MAX: Duration = Duration::from_secs(3);

const KEPT: u8 = 1;
const GONE: u8 = 2;
const REFUSED: u8 = 3;

/// A new memory, whole but for what only the store can tell: whether it is known already, and its version.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub op: OpId,
    pub branch: Name,
    pub author: Author,
    /// When it was said.
    pub at: Time,
    pub memory: Memory,
    /// Opaque, as in the write.
    pub memo: Vec<u8>,
}

/// The queue. One for a data folder: it outlives the engines that are opened and closed over it.
pub struct Offline {
    refused: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    log: Log,
    places: VecDeque<Place>,
    /// How many go into the next transaction.
    at_once: usize,
    /// Why the last sending came to nothing, and when.
    failed: Option<(Instant, Error)>,
    retry_at: Option<Time>,
    /// Bytes of the file of refused writes when it was looked at, and what it held.
    refused: (u64, Vec<String>),
}

struct Place {
    op: OpId,
    at: Time,
    span: Span,
    /// The agent has its answer: the server's can go as soon as the record has gone.
    is_acknowledged: bool,
}

impl Offline {
    /// Reads what waits. Makes no file.
    ///
    /// # Errors
    /// Whatever reading gives.
    pub fn open(file: &Path, refused: &Path) -> Result<Self> {
        let (log, records) = Log::open(file)?;
        let mut places = VecDeque::new();
        for (span, bytes) in records {
            let mut from = Reader(&bytes);
            match from.u8()? {
                KEPT => {
                    let kept = Kept::decode(from)?;
                    places.push_back(Place { op: kept.op, at: kept.at, span, is_acknowledged: false });
                }
                GONE => {
                    let gone = (0..from.u32()?).map(|_| from.array().map(OpId::from_bytes));
                    let gone = gone.collect::<Result<Vec<_>>>()?;
                    places.retain(|place| !gone.contains(&place.op));
                }
                _ => return Err(unknown_record(file)),
            }
        }
        let at_once = SENT_AT_ONCE;
        let inner = Inner { log, places, at_once, failed: None, retry_at: None, refused: (0, Vec::new()) };
        Ok(Self { refused: refused.to_owned(), inner: Mutex::new(inner) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.inner().places.len()
    }

    /// From now on for this database (`host:port/database`).
    ///
    /// # Errors
    /// `Conflict` while writes wait for another one.
    pub fn aim(&self, target: &str) -> Result<()> {
        let mut inner = self.inner();
        if inner.log.target() == target {
            return Ok(());
        }
        inner.refuse_another_place(&format!("the database {target}"))?;
        inner.log.aim(target);
        Ok(())
    }

    /// Refuses to leave the database that writes wait for; `place` is where else the settings lead.
    ///
    /// # Errors
    /// `Conflict` while any wait.
    pub fn leave_for(&self, place: &str) -> Result<()> {
        self.inner().refuse_another_place(place)
    }

    /// Keeps the write for later, if it is one that may wait: a single new memory, which is whole without a look at the
    /// store. Everything else is an answer about the present (a correction, a merge), or has its source still at hand
    /// (an import). `why` is what came in its way.
    ///
    /// # Errors
    /// `why`, where it is no reason to wait or the write may not; `Full`; whatever writing gives.
    pub fn keep(&self, op: OpId, write: &Write, why: Error, bytes_max: u64) -> Result<Applied> {
        if bytes_max == 0 || !matches!(why.kind, ErrorKind::Unavailable | ErrorKind::Unknown) {
            return Err(why);
        }
        let Some(kept) = Kept::of(op, write) else { return Err(why) };
        let mut inner = self.inner();
        if let Some(number) = inner.number(op) {
            return Ok(kept.waits(number));
        }
        let bytes = kept.encode();
        if inner.log.bytes() + bytes.len() as u64 > bytes_max {
            return Err(Error::full(format!(
                "{}. Nothing was stored: {} writes wait for it already, and no more may \
                 (matrixone.offline_queue_mb = {})",
                why.message,
                inner.places.len(),
                bytes_max >> 20
            )));
        }
        let span = inner.log.append(&bytes)?;
        inner.places.push_back(Place { op, at: kept.at, span, is_acknowledged: false });
        Ok(kept.waits(inner.places.len() as u32))
    }

    /// What the caller of an operation that waits was told.
    pub fn waits(&self, op: OpId) -> Result<Option<Applied>> {
        let inner = self.inner();
        let Some(number) = inner.number(op) else { return Ok(None) };
        let kept = inner.kept(number as usize - 1)?;
        Ok(Some(Applied { is_replay: true, ..kept.waits(number) }))
    }

    /// Holds back the acknowledgements of what waits: its operation must be known to the server until it is sent and
    /// the record is gone. Gives the others back.
    pub fn acknowledge(&self, mut ops: Vec<OpId>) -> Vec<OpId> {
        for place in &mut self.inner().places {
            let before = ops.len();
            ops.retain(|op| *op != place.op);
            place.is_acknowledged |= ops.len() < before;
        }
        ops
    }

    /// Sends what waits, the first first; `serve` gives one answer for each order, or an error for all. Gives the
    /// operations that can be forgotten.
    ///
    /// # Errors
    /// `Unavailable` as long as anything waits, and what came in the way.
    pub fn send(
        &self,
        mut serve: impl FnMut(&[Order]) -> Result<Vec<Result<Applied>>>,
        mut forgotten: impl FnMut(Vec<OpId>),
    ) -> Result<()> {
        let until = Instant::now() + SENDING_MAX;
        let (mut at_once, mut sent, mut known) = (self.inner().at_once, 0, 0);
        let sending = loop {
            let orders = self.first(at_once)?;
            if orders.is_empty() {
                break Ok(());
            }
            if Instant::now() >= until {
                break Err(Error::unavailable("what waited for MatrixOne is being sent"));
            }
            let answers = match serve(&orders) {
                Ok(answers) => answers,
                // Which of them it is about shows when each goes alone.
                Err(error) if orders.len() > 1 && !passes(&error) => {
                    at_once = 1;
                    continue;
                }
                Err(error) if error.kind == ErrorKind::TooLarge => vec![Err(error)],
                Err(error) => {
                    // On a slow line all of them may never get through within a request's time, and some will.
                    at_once = (orders.len() / 4).max(1);
                    break Err(error);
                }
            };
            at_once = (at_once * 2).min(SENT_AT_ONCE);
            let mut stop = None;
            let mut gone = Vec::new();
            for (order, answer) in orders.iter().zip(answers) {
                match answer {
                    Ok(applied) => known += usize::from(matches!(applied.outcomes[..], [Outcome::Existing { .. }])),
                    // It was applied, so long ago that the server has forgotten what it came to.
                    Err(error) if error.kind == ErrorKind::Expired => {}
                    Err(error) if is_for_good(&error) => self.refuse(order, &error)?,
                    Err(error) => {
                        stop = Some(error);
                        break;
                    }
                }
                gone.push(order.op);
            }
            sent += gone.len();
            forgotten(self.gone(&gone)?);
            if let Some(error) = stop {
                break Err(error);
            }
        };
        if sent > 0 {
            tracing::info!("{sent} writes that waited were sent, {known} of them said what was known already");
        }
        let mut inner = self.inner();
        inner.at_once = at_once;
        inner.failed = sending.as_ref().err().map(|error| (Instant::now(), error.clone()));
        sending
    }

    /// What came in the way of a sending after this moment.
    pub fn failure_since(&self, moment: Instant) -> Option<Error> {
        self.inner().failed.as_ref().filter(|(at, _)| *at >= moment).map(|(_, error)| error.clone())
    }

    /// It is tried again by itself at that time.
    pub fn retry_at(&self, at: Option<Time>) {
        self.inner().retry_at = at;
    }

    /// The same error, with what waits and when it is tried again.
    pub fn explain(&self, error: Error) -> Error {
        let inner = self.inner();
        let Some(first) = inner.places.front().filter(|_| error.kind == ErrorKind::Unavailable) else { return error };
        let since = clock::local(first.at);
        let retry = inner.retry_at.map_or_else(String::new, |at| format!(", at the latest at {}", clock::of_day(at)));
        Error::unavailable(format!(
            "{}. What was stored here since {since} ({}) waits and is sent first{retry}",
            error.message.trim_end_matches('.'),
            memories(inner.places.len()),
        ))
    }

    /// For `status`.
    pub fn standing(&self) -> Waiting {
        let mut inner = self.inner();
        let bytes = std::fs::metadata(&self.refused).map_or(0, |meta| meta.len());
        if inner.refused.0 != bytes {
            let reasons = refused(&self.refused).map(|all| all.into_iter().map(|(_, why)| why).collect());
            inner.refused = (bytes, reasons.unwrap_or_else(|error| vec![error.message]));
        }
        Waiting {
            count: inner.places.len() as u32,
            since: inner.places.front().map(|place| place.at),
            retry_at: inner.retry_at,
            problem: inner.failed.as_ref().map(|(_, error)| error.message.clone()),
            damaged: inner.log.damaged().map(|file| file.display().to_string()),
            refused: inner.refused.1.len() as u32,
            refused_why: inner.refused.1.last().cloned(),
            refused_file: self.refused.display().to_string(),
        }
    }

    /// The first that wait, as they are sent now: a branch moves when it does, so no past moment changes its answer.
    fn first(&self, count: usize) -> Result<Vec<Order>> {
        let inner = self.inner();
        let at = clock::now();
        (0..inner.places.len().min(count)).map(|number| Ok(inner.kept(number)?.order(at))).collect()
    }

    /// Kept where people find it; twice the same is once, since the record goes only after this.
    fn refuse(&self, order: &Order, why: &Error) -> Result<()> {
        tracing::warn!("a write that waited was refused and stands in {}: {why}", self.refused.display());
        let Some(kept) = Kept::of(order.op, &order.write) else { return Err(why.clone()) };
        let (mut log, records) = Log::open(&self.refused)?;
        log.aim("");
        let known = records.iter().any(|(_, bytes)| bytes.get(1..25) == Some(&order.op.to_bytes()[..]));
        if known { Ok(()) } else { log.append(&kept.encode_refused(&why.message)).map(drop) }
    }

    /// Takes records out, which lasts once it is `Ok`; gives those operations that were acknowledged meanwhile.
    fn gone(&self, ops: &[OpId]) -> Result<Vec<OpId>> {
        let mut inner = self.inner();
        if ops.len() == inner.places.len() {
            inner.log.clear()?;
        } else if !ops.is_empty() {
            let mut out = Writer::default();
            out.u8(GONE).u32(ops.len() as u32);
            for op in ops {
                out.fixed(&op.to_bytes());
            }
            inner.log.append(&out.0)?;
        }
        let (gone, left): (Vec<Place>, Vec<Place>) = inner.places.drain(..).partition(|place| ops.contains(&place.op));
        inner.places = left.into();
        Ok(gone.into_iter().filter(|place| place.is_acknowledged).map(|place| place.op).collect())
    }
}

impl Inner {
    /// Its place in the row, from 1.
    fn number(&self, op: OpId) -> Option<u32> {
        self.places.iter().position(|place| place.op == op).map(|before| before as u32 + 1)
    }

    fn kept(&self, number: usize) -> Result<Kept> {
        let place = self.places.get(number).ok_or_else(|| Error::internal("a write that waited is not there"))?;
        let bytes = self.log.read(place.span)?;
        let mut from = Reader(&bytes);
        from.u8()?;
        Kept::decode(from)
    }

    fn refuse_another_place(&self, place: &str) -> Result<()> {
        if self.places.is_empty() {
            return Ok(());
        }
        Err(Error::conflict(format!(
            "what was stored without the server ({}) waits in {file} for the database {}, and the way leads to \
             {place}. Keep the settings until `memoria status` says that nothing waits. Or take those memories along: \
             `memoria export --waiting FILE`, `memoria stop`, delete {file}, `memoria import FILE`",
            memories(self.places.len()),
            self.log.target(),
            file = self.log.path().display(),
        )))
    }
}

impl Kept {
    fn of(op: OpId, write: &Write) -> Option<Self> {
        let Write { branch, author, verb: Verb::Store, note: None, at, work, safety: None, .. } = write else {
            return None;
        };
        let Work::Changes(changes) = work else { return None };
        let [Change::Store(memory)] = &changes[..] else { return None };
        let is_rated = !write.ratings.is_empty() || !write.brought.is_empty();
        if !write.names.is_empty() || is_rated || !matches!(write.progress, Progress::Keep) {
            return None;
        }
        let (branch, author, memory, memo) = (branch.clone(), author.clone(), memory.clone(), write.memo.clone());
        Some(Self { op, branch, author, at: *at, memory, memo })
    }

    fn order(self, at: Time) -> Order {
        let write = Write {
            branch: self.branch,
            author: self.author,
            verb: Verb::Store,
            note: None,
            at,
            work: Work::Changes(vec![Change::Store(self.memory)]),
            safety: None,
            names: Vec::new(),
            ratings: Vec::new(),
            brought: Vec::new(),
            progress: Progress::Keep,
            memo: self.memo,
            acknowledged: Vec::new(),
        };
        Order { op: self.op, write }
    }

    fn waits(self, number: u32) -> Applied {
        Applied {
            commit: None,
            outcomes: Vec::new(),
            counts: Counts::default(),
            merged: None,
            names: Vec::new(),
            memo: self.memo,
            is_replay: false,
            waits: Some(Box::new(Waits { number, memory: self.memory })),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.put(KEPT, &mut out);
        out.0
    }

    fn encode_refused(&self, why: &str) -> Vec<u8> {
        let mut out = Writer::default();
        self.put(REFUSED, &mut out);
        out.text(why);
        out.0
    }

    /// The operation first: [`Offline::refuse`] looks there.
    fn put(&self, what: u8, out: &mut Writer) {
        out.u8(what).fixed(&self.op.to_bytes()).text(self.branch.as_str());
        out.optional_text(self.author.agent.as_deref()).optional_text(self.author.agent_version.as_deref());
        out.text(self.author.session.as_str()).optional_text(self.author.project.as_ref().map(ProjectId::as_str));
        out.time(self.at).bytes(&self.memory.encode()).bytes(&self.memo);
    }

    fn decode(mut from: Reader) -> Result<Self> {
        let kept = Self::take(&mut from)?;
        from.end()?;
        Ok(kept)
    }

    fn take(from: &mut Reader) -> Result<Self> {
        Ok(Self {
            op: OpId::from_bytes(from.array()?),
            branch: from.text()?.parse()?,
            author: Author {
                agent: from.optional(Reader::text)?,
                agent_version: from.optional(Reader::text)?,
                session: from.id(SessionId::new)?,
                project: from.optional(|from| from.id(ProjectId::new))?,
            },
            at: from.time()?,
            memory: Memory::decode(from.bytes()?)?,
            memo: from.bytes()?.to_vec(),
        })
    }
}

/// What waits in this file, in order; for whoever takes it along. The daemon may be writing to it.
///
/// # Errors
/// Whatever reading gives.
pub fn waiting(file: &Path) -> Result<Vec<Kept>> {
    let queue = Offline::open(file, file)?;
    let inner = queue.inner();
    (0..inner.places.len()).map(|number| inner.kept(number)).collect()
}

/// What the server refused for good, and why, in order.
///
/// # Errors
/// Whatever reading gives.
pub fn refused(file: &Path) -> Result<Vec<(Kept, String)>> {
    let (_, records) = Log::open(file)?;
    let read = |(_, bytes): (Span, Vec<u8>)| {
        let mut from = Reader(&bytes);
        if from.u8()? != REFUSED {
            return Err(unknown_record(file));
        }
        let read = (Kept::take(&mut from)?, from.text()?);
        from.end()?;
        Ok(read)
    };
    records.into_iter().map(read).collect()
}

fn memories(count: usize) -> String {
    if count == 1 { "1 memory".to_owned() } else { format!("{count} memories") }
}

fn unknown_record(file: &Path) -> Error {
    Error::corrupt(format!("{} was written by another version of Memoria: use that one", file.display()))
}

/// The server may take it later as it is.
fn passes(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Unknown)
}

/// Judged on the state of the moment, and not to be judged otherwise: no such branch any more, a protected one.
fn is_for_good(error: &Error) -> bool {
    use ErrorKind::{Ambiguous, Conflict, Denied, Invalid, NotFound, TooLarge};
    matches!(error.kind, Invalid | NotFound | Ambiguous | Conflict | TooLarge | Denied)
}

#[cfg(test)]
mod tests;
