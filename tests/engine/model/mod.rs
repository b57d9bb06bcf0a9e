//! Random operations on the engine and on a naive model of it: writes, branches, merges, rollbacks, erasures, power
//! cuts. After each, both say the same, at every head and at any past commit.
//!
//! Failing seeds are kept for ever in `regressions.txt`, beside this file, and are always run first.

mod action;
mod bench;
mod compare;
mod perform;
mod plans;
mod reshape;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::test_runner::{Config, FileFailurePersistence, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use self::bench::{Bench, Ground};
use crate::server::Database;
use crate::{rounds, runtime, seed};

/// What a check of the model says: `Err` with what is not as it should be.
type Checked<T = ()> = Result<T, TestCaseError>;

const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine/model/regressions.txt");

/// How often what is worth meeting was met: a campaign that never met it proves nothing about it.
static MET: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

const WORTH_MEETING: &[&str] = &[
    "twin instead of a new memory",
    "stale precondition",
    "commit made",
    "merge without conflicts",
    "merge of what was merged",
    "merge of a descendant",
    "merge with several bases",
    "fields of both sides",
    "merge in progress",
    "another merge in progress",
    "merge in progress concluded",
    "merge in progress given up",
    "conflict settled one by one",
    "conflict settled by rule",
    "merge after a reverted merge",
    "merge reverted",
    "memory kept",
    "memory taken",
    "pick",
    "rollback",
    "undo",
    "redo",
    "refused by protection",
    "name taken",
    "name restored",
    "time resolved",
    "safety snapshot",
    "second safety snapshot",
    "replay",
    "erased",
    "forgotten by compaction",
    "power cut before it was done",
    "power cut after it was done",
    "index lost",
];

fn met(what: &'static str) {
    met_often(what, 1);
}

fn met_often(what: &'static str, times: u64) {
    debug_assert!(WORTH_MEETING.contains(&what), "{what}");
    if times == 0 {
        return;
    }
    *MET.lock().unwrap().entry(what).or_default() += times;
}

#[test]
fn random_operations_agree_with_a_naive_model() {
    let cases = rounds(256);
    agree(cases, Ground::disk);
    let met = MET.lock().unwrap();
    let missed: Vec<_> = WORTH_MEETING.iter().filter(|what| !met.contains_key(**what)).collect();
    // The rarest come once in a hundred stories: a short run may miss a few, a long one none.
    let most = if cases < 256 { usize::MAX } else { usize::from(cases < 2_000) * 3 };
    assert!(missed.len() <= most, "in {cases} cases never met: {missed:?}");
}

/// Where a server is named, as in `tests/matrixone`; a story there takes seconds.
#[test]
fn random_operations_agree_with_a_naive_model_on_matrixone() {
    if crate::server::url().is_none() {
        return println!("SKIPPED: 1 model, since MEMORIA_TEST_MATRIXONE_URL names no server");
    }
    agree(rounds(4), || Ground::Server(Database::fresh("model").unwrap()));
}

fn agree(cases: u64, ground: impl Fn() -> Ground) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_le_bytes());
    let failure_persistence = Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS)) as Box<_>);
    let config = Config { cases: cases as u32, failure_persistence, source_file: Some(file!()), ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let runtime = runtime();
    let run = |turns: Vec<action::Turn>| {
        runtime.block_on(async {
            let mut bench = Bench::new(ground()).await?;
            bench.begin().await?;
            for turn in turns {
                bench.take(turn).await?;
            }
            bench.end().await
        })
    };
    let result = runner.run(&action::turns(), run);
    let met = MET.lock().unwrap();
    met.iter().for_each(|(what, times)| println!("{times:>8}  {what}"));
    result.unwrap_or_else(|error| panic!("{error}"));
}
