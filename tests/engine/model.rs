//! Random operations on the engine and on a naive model of it, a list of maps: after each, both say the same, now and
//! at any past commit, also after the store was closed and opened.

use std::collections::BTreeMap;

use memoria::clock;
use memoria::engine::Engine;
use memoria::engine::conformance::samples::{ALL, memory as sample, op, write};
use memoria::engine::embedded::Embedded;
use memoria::error::ErrorKind;
use memoria::model::{
    Change, CommitFilter, CommitId, Expect, Filter, Memory, MemoryId, Name, OpId, Outcome, ProjectId, Revision, Verb,
    VersionId, Walk, Write,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::disks::Disk;
use crate::{CACHE_BYTES, rounds, runtime, seed};

/// One thing to do. Memories, commits and operations are picked by number, modulo how many there are.
#[derive(Clone, Debug)]
enum Action {
    Write(Vec<Step>),
    SendAgain(usize),
    Acknowledge(usize),
    ReadPast(usize),
    Reopen,
}

#[derive(Clone, Debug)]
enum Step {
    Store { text: u8, project: u8 },
    Correct { memory: usize, text: u8, expect: Expected },
    Purge { memory: usize, expect: Expected },
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Live,
    Seen,
    Stale,
}

fn step() -> impl Strategy<Value = Step> {
    let expect = || prop_oneof![4 => Just(Expected::Live), 3 => Just(Expected::Seen), 1 => Just(Expected::Stale)];
    prop_oneof![
        4 => (0..12u8, 0..3u8).prop_map(|(text, project)| Step::Store { text, project }),
        3 => (any::<usize>(), 0..12u8, expect())
            .prop_map(|(memory, text, expect)| Step::Correct { memory, text, expect }),
        2 => (any::<usize>(), expect()).prop_map(|(memory, expect)| Step::Purge { memory, expect }),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        10 => prop::collection::vec(step(), 1..4).prop_map(Action::Write),
        2 => any::<usize>().prop_map(Action::SendAgain),
        1 => any::<usize>().prop_map(Action::Acknowledge),
        3 => any::<usize>().prop_map(Action::ReadPast),
        1 => Just(Action::Reopen),
    ]
}

type State = BTreeMap<MemoryId, (VersionId, Memory)>;

/// What the engine should hold.
#[derive(Default)]
struct Model {
    /// Every memory id that ever was.
    known: Vec<MemoryId>,
    state: State,
    commits: Vec<(CommitId, State)>,
    ops: Vec<(OpId, Write, Option<CommitId>, Vec<Outcome>)>,
}

impl Model {
    fn pick<T: Clone>(list: &[T], at: usize) -> Option<T> {
        (!list.is_empty()).then(|| list[at % list.len()].clone())
    }

    fn expect(&self, id: MemoryId, expected: Expected) -> Expect {
        match (expected, self.state.get(&id)) {
            (Expected::Live, _) => Expect::Live,
            (Expected::Seen, Some((version, _))) => Expect::Version(*version),
            (Expected::Seen | Expected::Stale, _) => Expect::Version(VersionId([3; 32])),
        }
    }

    fn change(&self, step: &Step) -> Option<Change> {
        Some(match step {
            Step::Store { text, project } => Change::Store(Memory {
                project: (*project > 0).then(|| ProjectId::new(format!("project {project}")).unwrap()),
                ..sample(&format!("text {text}"))
            }),
            Step::Correct { memory, text, expect } => {
                let id = Self::pick(&self.known, *memory)?;
                let memory = Memory { id, ..sample(&format!("text {text}")) };
                Change::Replace { memory, expect: self.expect(id, *expect) }
            }
            Step::Purge { memory, expect } => {
                let id = Self::pick(&self.known, *memory)?;
                Change::Remove { id, expect: self.expect(id, *expect) }
            }
        })
    }

    /// What the changes should come to: the shape of each outcome and the state afterwards, or the kind of error.
    fn judge(&self, changes: &[Change]) -> Result<(Vec<String>, BTreeMap<MemoryId, Memory>), ErrorKind> {
        let mut state: BTreeMap<MemoryId, Memory> = self.state.iter().map(|(id, (_, m))| (*id, m.clone())).collect();
        let (mut shapes, mut written) = (Vec::new(), Vec::new());
        for change in changes {
            let shape = match change {
                Change::Store(new) => {
                    match state.values().find(|old| old.text == new.text && old.project == new.project) {
                        Some(_) => "existing",
                        None => {
                            written.push(new.id);
                            state.insert(new.id, new.clone());
                            "stored"
                        }
                    }
                }
                Change::Replace { memory: new, expect } => match self.live(&state, &written, new.id, *expect)? {
                    None => "missing",
                    Some(old) if old.text == new.text && old.project == new.project => "unchanged",
                    Some(_) => {
                        written.push(new.id);
                        state.insert(new.id, new.clone());
                        "replaced"
                    }
                },
                Change::Remove { id, expect } => match self.live(&state, &written, *id, *expect)? {
                    None => "missing",
                    Some(_) => {
                        state.remove(id);
                        "removed"
                    }
                },
            };
            shapes.push(shape.to_owned());
        }
        Ok((shapes, state))
    }

    fn live<'a>(
        &self,
        state: &'a BTreeMap<MemoryId, Memory>,
        written: &[MemoryId],
        id: MemoryId,
        expect: Expect,
    ) -> Result<Option<&'a Memory>, ErrorKind> {
        if written.contains(&id) {
            return Err(ErrorKind::Invalid);
        }
        match (state.get(&id), expect) {
            (None, Expect::Version(_)) => Err(ErrorKind::Conflict),
            (Some(_), Expect::Version(version)) if self.state[&id].0 != version => Err(ErrorKind::Conflict),
            (live, _) => Ok(live),
        }
    }
}

fn shape(outcome: &Outcome) -> (&'static str, MemoryId, Option<VersionId>) {
    match outcome {
        Outcome::Stored { id, version } => ("stored", *id, Some(*version)),
        Outcome::Existing { id, .. } => ("existing", *id, None),
        Outcome::Replaced { id, after, .. } => ("replaced", *id, Some(*after)),
        Outcome::Unchanged { id, .. } => ("unchanged", *id, None),
        Outcome::Removed { id, .. } => ("removed", *id, None),
        Outcome::Missing { id } => ("missing", *id, None),
    }
}

async fn apply(engine: &Embedded, model: &mut Model, steps: &[Step]) -> Result<(), TestCaseError> {
    let changes: Vec<Change> = steps.iter().filter_map(|step| model.change(step)).collect();
    let (op, order) = (op(), write(Verb::Store, changes.clone()).unwrap());
    let applied = engine.apply(op, order.clone()).await;
    let (shapes, after) = match model.judge(&changes) {
        Err(kind) => {
            prop_assert_eq!(applied.map_err(|error| error.kind), Err(kind));
            return Ok(());
        }
        Ok(judged) => judged,
    };
    let applied = applied.map_err(|error| TestCaseError::fail(format!("refused: {error}")))?;
    let found: Vec<&str> = applied.outcomes.iter().map(|outcome| shape(outcome).0).collect();
    prop_assert_eq!(&found, &shapes);
    let mut versions: BTreeMap<MemoryId, VersionId> = model.state.iter().map(|(id, (v, _))| (*id, *v)).collect();
    for (id, version) in applied.outcomes.iter().map(shape).filter_map(|(_, id, version)| Some((id, version?))) {
        versions.insert(id, version);
        model.known.push(id);
    }
    let is_changed = shapes.iter().any(|shape| ["stored", "replaced", "removed"].contains(&shape.as_str()));
    prop_assert_eq!(applied.commit.is_some(), is_changed);
    model.state = after.into_iter().map(|(id, memory)| (id, (versions[&id], memory))).collect();
    model.commits.extend(applied.commit.map(|commit| (commit, model.state.clone())));
    model.ops.push((op, order, applied.commit, applied.outcomes));
    Ok(())
}

async fn agrees(engine: &Embedded, revision: Revision, state: &State) -> Result<CommitId, TestCaseError> {
    let at = engine.resolve(&revision, clock::now()).await.unwrap();
    prop_assert_eq!(at.live as usize, state.len());
    let listing = engine.page(&at, &Filter::default(), ALL).await.unwrap();
    let found: State = listing.memories.into_iter().map(|v| (v.memory.id, (v.id, v.memory))).collect();
    prop_assert_eq!(&found, state);
    Ok(at.commit)
}

fn open(disk: &Disk, index: &std::path::Path) -> Embedded {
    let disk = disk.clone();
    Embedded::with_backend(move || Ok(disk.plug()), index, CACHE_BYTES).unwrap()
}

async fn run(actions: Vec<Action>) -> Result<(), TestCaseError> {
    let (disk, home) = (Disk::default(), tempfile::tempdir().unwrap());
    let index = home.path().join("index");
    let (mut engine, mut model) = (open(&disk, &index), Model::default());
    for action in actions {
        match action {
            Action::Write(steps) => apply(&engine, &mut model, &steps).await?,
            Action::SendAgain(at) => {
                if let Some((op, order, commit, outcomes)) = Model::pick(&model.ops, at) {
                    let again = engine.apply(op, order).await.unwrap();
                    prop_assert!(again.is_replay);
                    prop_assert_eq!((again.commit, again.outcomes), (commit, outcomes));
                }
            }
            Action::Acknowledge(at) => {
                if !model.ops.is_empty() {
                    let (op, ..) = model.ops.remove(at % model.ops.len());
                    engine.acknowledge(vec![op]);
                    engine.rest().await.unwrap();
                    prop_assert_eq!(engine.replayed(op).await.unwrap(), None);
                }
            }
            Action::ReadPast(at) => {
                if let Some((commit, state)) = Model::pick(&model.commits, at) {
                    agrees(&engine, Revision::Commit(commit.to_string()), &state).await?;
                }
            }
            Action::Reopen => {
                drop(engine);
                engine = open(&disk, &index);
            }
        }
        let head = agrees(&engine, Revision::Name(Name::main()), &model.state).await?;
        prop_assert!(model.commits.last().is_none_or(|(last, _)| *last == head));
    }
    let at = engine.resolve(&Revision::Name(Name::main()), clock::now()).await.unwrap();
    let (history, _) = engine.history(&at, &CommitFilter::default(), Walk::Branch, ALL).await.unwrap();
    let found: Vec<CommitId> = history.iter().rev().skip(1).map(|entry| entry.id).collect();
    let expected: Vec<CommitId> = model.commits.iter().map(|(id, _)| *id).collect();
    prop_assert_eq!(found, expected);
    for check in engine.verify().await.unwrap() {
        prop_assert!(check.problems.is_empty(), "{:?}", check);
    }
    Ok(())
}

#[test]
fn random_operations_agree_with_a_naive_model() {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_le_bytes());
    let config = Config { cases: rounds(150) as u32, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let runtime = runtime();
    let actions = prop::collection::vec(action(), 1..50);
    runner.run(&actions, |actions| runtime.block_on(run(actions))).unwrap_or_else(|error| panic!("{error}"));
}
