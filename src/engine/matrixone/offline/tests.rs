//! The queue against a made-up server that knows its operations, with crashes wherever they hurt.

use std::collections::HashSet;

use tempfile::TempDir;

use super::*;
use crate::engine::conformance::samples::{memory, op, write};
use crate::model::{Expect, MemoryId, Plan, Rule};

const MIB: u64 = 1 << 20;

struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("waiting.queue")
    }

    fn refused(&self) -> PathBuf {
        self.folder.path().join("refused.queue")
    }

    /// As a daemon does that starts.
    fn open(&self) -> Offline {
        let queue = Offline::open(&self.file(), &self.refused()).unwrap();
        queue.aim("db:6001/memoria").unwrap();
        queue
    }
}

fn away() -> Error {
    Error::unavailable("nobody answers")
}

fn storing(text: &str) -> Write {
    write(Verb::Store, vec![Change::Store(memory(text))]).unwrap()
}

fn keep(queue: &Offline, text: &str) -> Result<(OpId, u32)> {
    let op = op();
    let applied = queue.keep(op, &storing(text), away(), MIB)?;
    Ok((op, applied.waits.unwrap().number))
}

fn texts(file: &Path) -> Vec<String> {
    waiting(file).unwrap().into_iter().map(|kept| kept.memory.text).collect()
}

fn applied(is_replay: bool) -> Applied {
    let kept = Kept::of(op(), &storing("")).unwrap();
    Applied { waits: None, is_replay, ..kept.waits(0) }
}

/// What it has, in order, and the operations that it knows.
#[derive(Default)]
struct Server {
    texts: Vec<String>,
    known: HashSet<OpId>,
}

impl Server {
    fn serve(&mut self, orders: &[Order]) -> Vec<Result<Applied>> {
        let one = |order: &Order| {
            let is_new = self.known.insert(order.op);
            if is_new {
                self.texts.push(Kept::of(order.op, &order.write).unwrap().memory.text);
            }
            Ok(applied(!is_new))
        };
        orders.iter().map(one).collect()
    }
}

#[test]
fn what_waits_is_there_after_a_crash_as_it_was_and_in_order() {
    let desk = Desk::new();
    let write = storing("the second");
    let queue = desk.open();
    assert_eq!(keep(&queue, "the first").unwrap().1, 1);
    let second = op();
    assert_eq!(queue.keep(second, &write, away(), MIB).unwrap().waits.unwrap().number, 2);
    // Nothing is said to a queue that dies.
    std::mem::forget(queue);
    let queue = desk.open();
    assert_eq!((queue.count(), texts(&desk.file())), (2, vec!["the first".to_owned(), "the second".to_owned()]));
    let kept = waiting(&desk.file()).unwrap().remove(1);
    assert_eq!(Some(kept), Kept::of(second, &write));
    let again = queue.waits(second).unwrap().unwrap();
    assert_eq!((again.waits.unwrap().number, again.is_replay, again.memo), (2, true, write.memo.clone()));
    assert_eq!(queue.keep(second, &write, away(), MIB).unwrap().waits.unwrap().number, 2, "the same is once");
    assert_eq!(queue.count(), 2);
}

#[test]
fn only_a_new_memory_may_wait_and_only_for_a_server_that_is_away() {
    let desk = Desk::new();
    let queue = desk.open();
    let one = memory("one");
    let refused = [
        write(Verb::Import, vec![Change::Store(one.clone())]).unwrap(),
        write(Verb::Store, vec![Change::Store(one.clone()), Change::Store(memory("two"))]).unwrap(),
        write(Verb::Correct, vec![Change::Replace { memory: one.clone(), expect: Expect::Live }]).unwrap(),
        write(Verb::Purge, vec![Change::Remove { id: MemoryId::random(), expect: Expect::Live }]).unwrap(),
        Write { note: Some("why".into()), ..storing("one") },
        Write { progress: Progress::Abort, ..storing("one") },
        Write { safety: Some(Name::main()), ..storing("one") },
        Write {
            work: Work::Plan(Plan::Merge {
                theirs: crate::model::CommitId([0; 32]),
                rule: Rule::Fail,
                resolutions: vec![],
            }),
            ..storing("one")
        },
    ];
    for write in refused {
        assert_eq!(queue.keep(op(), &write, away(), MIB).unwrap_err(), away(), "{write:?}");
    }
    for why in [Error::denied("x"), Error::not_found("x"), Error::full("x"), Error::internal("x")] {
        assert_eq!(queue.keep(op(), &storing("one"), why.clone(), MIB).unwrap_err(), why);
    }
    assert_eq!(queue.keep(op(), &storing("one"), away(), 0).unwrap_err(), away(), "switched off");
    assert_eq!(queue.count(), 0);
    let unknown = Error::unknown("the server fell silent after COMMIT");
    assert!(queue.keep(op(), &storing("one"), unknown, MIB).unwrap().waits.is_some());
}

#[test]
fn a_full_queue_refuses_with_a_sentence_and_keeps_what_it_has() {
    let (desk, text) = (Desk::new(), "x".repeat(60_000));
    let queue = desk.open();
    let full = (0..).find_map(|_| keep(&queue, &text).err()).unwrap();
    assert_eq!(full.kind, ErrorKind::Full);
    assert!(full.message.contains("offline_queue_mb") && full.message.contains("Nothing was stored"), "{full}");
    assert_eq!((queue.count(), texts(&desk.file()).len()), (17, 17));
}

#[test]
fn a_file_cut_at_any_byte_keeps_every_whole_record_and_takes_more() {
    let desk = Desk::new();
    let queue = desk.open();
    let mut ends = vec![0];
    for text in ["one", "two", "three"] {
        keep(&queue, text).unwrap();
        ends.push(std::fs::metadata(desk.file()).unwrap().len());
    }
    let whole = std::fs::read(desk.file()).unwrap();
    for cut in 0..whole.len() {
        std::fs::write(desk.file(), &whole[..cut]).unwrap();
        let queue = desk.open();
        let expected = ends.iter().filter(|end| **end <= cut as u64).count() - 1;
        assert_eq!(queue.count(), expected, "cut at {cut}");
        assert_eq!(queue.standing().damaged, None, "cut at {cut}");
        keep(&queue, "more").unwrap();
        let now = texts(&desk.file());
        assert_eq!((now.len(), now.last().map(String::as_str)), (expected + 1, Some("more")), "cut at {cut}");
    }
}

#[test]
fn a_damaged_record_takes_no_other_with_it_and_is_told() {
    let desk = Desk::new();
    let queue = desk.open();
    keep(&queue, "one").unwrap();
    let start = std::fs::metadata(desk.file()).unwrap().len() as usize;
    keep(&queue, "two").unwrap();
    let end = std::fs::metadata(desk.file()).unwrap().len() as usize;
    keep(&queue, "three").unwrap();
    let whole = std::fs::read(desk.file()).unwrap();
    for at in start..end {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x41;
        std::fs::write(desk.file(), &bytes).unwrap();
        let queue = desk.open();
        let kept = queue.standing().damaged.unwrap();
        assert_eq!(std::fs::read(&kept).unwrap(), bytes, "the file as it was");
        assert_eq!(texts(&desk.file()), ["one", "three"], "byte {at}");
        std::fs::remove_file(kept).unwrap();
        assert_eq!(queue.standing().damaged, None);
    }
}

#[test]
fn another_file_in_its_place_is_left_alone() {
    let desk = Desk::new();
    std::fs::write(desk.file(), "my diary").unwrap();
    let error = Offline::open(&desk.file(), &desk.refused()).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    assert_eq!(std::fs::read_to_string(desk.file()).unwrap(), "my diary");
}

#[test]
fn what_is_refused_for_good_is_listed_once_and_holds_up_nobody() {
    let (desk, mut server) = (Desk::new(), Server::default());
    let queue = desk.open();
    for text in ["one", "no branch", "two"] {
        keep(&queue, text).unwrap();
    }
    let mut judged = |orders: &[Order]| -> Result<Vec<Result<Applied>>> {
        let one = |order: &Order| match &Kept::of(order.op, &order.write).unwrap().memory.text[..] {
            "no branch" => Err(Error::not_found("there is no branch `gone`")),
            _ => server.serve(std::slice::from_ref(order)).remove(0),
        };
        Ok(orders.iter().map(one).collect())
    };
    // It dies between noting the refusal and taking the record out.
    let before = std::fs::read(desk.file()).unwrap();
    queue.send(&mut judged, drop).unwrap();
    std::fs::write(desk.file(), before).unwrap();
    let queue = desk.open();
    queue.send(&mut judged, drop).unwrap();
    let standing = queue.standing();
    assert_eq!((standing.count, standing.refused), (0, 1));
    assert_eq!(standing.refused_why.as_deref(), Some("there is no branch `gone`"));
    assert_eq!(refused(&desk.refused()).unwrap()[0].0.memory.text, "no branch");
    assert_eq!(server.texts, ["one", "two"]);
    std::fs::remove_file(desk.refused()).unwrap();
    assert_eq!(queue.standing().refused, 0, "deleting the file is all there is to do");
}

#[test]
fn a_refusal_of_all_is_no_verdict_on_one() {
    let (desk, mut server) = (Desk::new(), Server::default());
    let queue = desk.open();
    for text in ["one", "too large", "two"] {
        keep(&queue, text).unwrap();
    }
    // No such database, no leave, a fault of ours: all stay.
    for error in [Error::not_found("x"), Error::denied("x"), Error::internal("x"), away()] {
        assert_eq!(queue.send(|_| Err(error.clone()), drop).unwrap_err(), error);
        assert_eq!((queue.count(), queue.standing().refused), (3, 0), "{error:?}");
    }
    let serve = |orders: &[Order]| {
        let is_large = |order: &Order| Kept::of(order.op, &order.write).unwrap().memory.text == "too large";
        if orders.iter().any(is_large) { Err(Error::too_large("x")) } else { Ok(server.serve(orders)) }
    };
    queue.send(serve, drop).unwrap();
    assert_eq!((queue.count(), queue.standing().refused, server.texts), (0, 1, vec!["one".into(), "two".to_owned()]));
}

#[test]
fn what_waits_for_one_database_goes_to_no_other() {
    let desk = Desk::new();
    let queue = desk.open();
    queue.aim("other:6001/memoria").unwrap();
    keep(&queue, "one").unwrap();
    for refusal in [queue.aim("db:6001/memoria"), desk_again(&desk).aim("db:6001/memoria"), queue.leave_for("files")] {
        let error = refusal.unwrap_err();
        assert!(error.message.contains("other:6001/memoria") && error.message.contains("--waiting"), "{error}");
    }
    queue.aim("other:6001/memoria").unwrap();
    queue.send(|orders| Ok(Server::default().serve(orders)), drop).unwrap();
    queue.aim("db:6001/memoria").unwrap();
}

fn desk_again(desk: &Desk) -> Offline {
    Offline::open(&desk.file(), &desk.refused()).unwrap()
}

/// splitmix64, as in the tests outside.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

#[test]
fn everything_arrives_once_and_in_order_whatever_dies_and_whoever_acknowledges() {
    let given = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let fresh = || u64::from_le_bytes(uuid::Uuid::new_v4().into_bytes()[..8].try_into().unwrap());
    let seed = given("MEMORIA_SEED").unwrap_or_else(fresh);
    println!("SEED={seed}");
    for round in 0..given("MEMORIA_ROUNDS").unwrap_or(20) {
        let (mut chance, desk) = (Chance(seed.wrapping_add(round)), Desk::new());
        let mut queue = desk.open();
        let (mut server, mut expected, mut unacknowledged) = (Server::default(), Vec::new(), Vec::new());
        for step in 0..60 {
            match chance.below(8) {
                0..3 => {
                    let text = format!("step {step}");
                    unacknowledged.push(keep(&queue, &text).unwrap().0);
                    expected.push(text);
                }
                3 => {
                    // The agent has read its answer: the server's may go, as far as it is not needed here.
                    let read = unacknowledged.split_off(chance.below(unacknowledged.len() as u64 + 1) as usize);
                    for op in queue.acknowledge(read) {
                        server.known.remove(&op);
                    }
                }
                4 => queue = desk.open(),
                // The server keeps it, and nobody hears: also what this machine's death between the two looks like.
                5 => {
                    let unheard = |orders: &[Order]| {
                        drop(server.serve(orders));
                        Err(Error::unknown("cut"))
                    };
                    let is_empty = queue.count() == 0;
                    assert_eq!(queue.send(unheard, drop).is_ok(), is_empty);
                }
                6 => drop(queue.send(|_| Err(away()), drop)),
                _ => {
                    let mut forgotten = Vec::new();
                    queue.send(|orders| Ok(server.serve(orders)), |ops| forgotten.extend(ops)).unwrap();
                    assert_eq!(queue.count(), 0);
                    for op in forgotten {
                        server.known.remove(&op);
                    }
                }
            }
        }
        queue.send(|orders| Ok(server.serve(orders)), drop).unwrap();
        assert_eq!(server.texts, expected, "round {round}");
        assert_eq!(std::fs::metadata(desk.file()).map_or(0, |meta| meta.len()), 0, "no text stays behind");
    }
}
