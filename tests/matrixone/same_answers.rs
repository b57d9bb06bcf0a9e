//! Both engines, after the same operations on the same memories, give the same answers: candidates with everything
//! that ranking needs, listings, look-ups and what has no vector yet; at heads, on branches and at snapshots;
//! whichever of the three ways tells the server what a state holds. Random histories and questions.

use std::collections::BTreeSet;

use memoria::clock;
use memoria::engine::conformance::samples::{memory, op, write};
use memoria::engine::embedded::Embedded;
use memoria::engine::matrixone::MatrixOne;
use memoria::engine::{At, Engine};
use memoria::lexical;
use memoria::model::{
    Asked, Candidates, Change, Embedding, Expect, Filter, Kind, Match, Memory, MemoryId, Name, NameChange, NameKind,
    Page, ProjectId, Query, Revision, Scope, SessionId, Space, SubjectId, Time, Trust, Verb, Write,
};

use crate::server::{Database, runtime};
use crate::support::{Chance, seed, setting};

const DIMS: u16 = 24;
/// Between cosines that two machines work out, and between sums of them.
const TOLERANCE: f32 = 1e-5;

const WORDS: &[&str] = &[
    "the",
    "the",
    "and",
    "deploy",
    "server",
    "music",
    "garden",
    "doctor",
    "ship",
    "river",
    "cheap",
    "broken",
    "friday",
    "auth_middleware",
    "src/main.rs",
    "v2.4.1",
    "PORT-77",
    "parseConfig",
    "数据库",
    "部署",
    "backup",
    "color",
    "train",
];
const PROJECTS: &[Option<&str>] = &[None, Some("here"), Some("there")];
const SESSIONS: &[Option<&str>] = &[None, Some("one"), Some("two"), Some("three's \"; --")];
const TAGS: &[&str] = &["red", "red wine", "wine", "百"];

/// The two engines, and a clock of their own, so that neither sees another time.
struct Both {
    embedded: Embedded,
    matrixone: MatrixOne,
    now: Time,
    _folder: tempfile::TempDir,
}

impl Both {
    fn over(database: &Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let embedded = Embedded::open(&path("truth.redb"), &path("index"), &path("vectors"), 4 << 20).unwrap();
        Self { embedded, matrixone: database.engine(), now: clock::now(), _folder: folder }
    }

    async fn write(&self, branch: &Name, order: Write) {
        let order = Write { branch: branch.clone(), at: self.now, ..order };
        let ours = self.embedded.apply(op(), order.clone()).await.unwrap();
        let theirs = self.matrixone.apply(op(), order).await.unwrap();
        assert_eq!(ours.outcomes.len(), theirs.outcomes.len());
    }

    async fn change(&self, branch: &Name, verb: Verb, changes: Vec<Change>) {
        self.write(branch, write(verb, changes).unwrap()).await;
    }

    /// A branch or a snapshot of where a branch stands.
    async fn name(&self, from: &Name, name: &Name, kind: NameKind) {
        let revision = Revision::Name(from.clone());
        let create = |at: At| {
            let create = NameChange::Create { name: name.clone(), kind, commit: at.commit, note: None };
            Write { names: vec![create], at: self.now, ..write(Verb::Store, vec![]).unwrap() }
        };
        let at = self.embedded.resolve(&revision, self.now).await.unwrap();
        self.embedded.apply(op(), create(at)).await.unwrap();
        let at = self.matrixone.resolve(&revision, self.now).await.unwrap();
        self.matrixone.apply(op(), create(at)).await.unwrap();
    }

    async fn at(&self, name: &Name) -> (At, At) {
        let revision = Revision::Name(name.clone());
        let ours = self.embedded.resolve(&revision, self.now).await.unwrap();
        let theirs = self.matrixone.resolve(&revision, self.now).await.unwrap();
        assert_eq!((ours.live, ours.tokens), (theirs.live, theirs.tokens), "{name}");
        (ours, theirs)
    }

    /// Gives most of what has no vector one.
    async fn embed(&self) {
        let ours = embed(&self.embedded).await;
        assert_eq!(ours, embed(&self.matrixone).await, "other texts are pending, or in another order");
        let filled = |mut filled: Vec<memoria::model::Filled>| {
            filled.iter_mut().for_each(|filled| filled.bytes = 0);
            filled
        };
        assert_eq!(
            filled(self.embedded.spaces().await.unwrap()),
            filled(self.matrixone.spaces().await.unwrap()),
            "the space is filled otherwise"
        );
    }
}

fn space() -> Space {
    Space { model: "toy".parse().unwrap(), dims: DIMS }
}

/// Texts that share words are near to each other; one without a known word has no opinion.
fn vector_of(text: &str) -> Vec<f32> {
    let mut vector = vec![0f32; usize::from(DIMS)];
    for term in lexical::terms(text) {
        let mut chance = Chance(term.bytes().fold(7, |hash, byte| hash * 31 % 1_000_003 + u64::from(byte)));
        for number in &mut vector {
            *number += chance.below(2_001) as f32 / 1_000.0 - 1.0;
        }
    }
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt().max(1e-9);
    vector.iter().map(|number| number / length).collect()
}

async fn embed(engine: &impl Engine) -> Vec<String> {
    let pending = engine.unembedded(&space(), 10_000).await.unwrap();
    let texts = pending.iter().map(|unembedded| unembedded.text.clone()).collect();
    let embedding = |unembedded: memoria::model::Unembedded| {
        let vector = vector_of(&unembedded.text);
        Embedding { slot: unembedded.slot, version: unembedded.version, vector }
    };
    let most = pending.into_iter().filter(|unembedded| unembedded.text.len() % 7 != 0).map(embedding);
    engine.embed(&space(), most.collect()).await.unwrap();
    texts
}

fn one<'a, T>(chance: &mut Chance, of: &'a [T]) -> &'a T {
    &of[chance.below(of.len() as u64) as usize]
}

fn text(chance: &mut Chance) -> String {
    let len = 1 + chance.below(12);
    (0..len).map(|_| *one(chance, WORDS)).collect::<Vec<_>>().join(" ")
}

fn any_memory(chance: &mut Chance, now: Time) -> Memory {
    let mut id = [0; 16];
    id.iter_mut().for_each(|byte| *byte = chance.below(256) as u8);
    let observed_at = now.plus_ms(-(chance.below(40) as i64) * 60_000);
    Memory {
        id: MemoryId(id),
        kind: *one(chance, Kind::ALL),
        trust: *one(chance, Trust::ALL),
        tags: TAGS.iter().filter(|_| chance.below(3) == 0).map(|tag| (*tag).to_owned()).collect(),
        project: one(chance, PROJECTS).map(|project| ProjectId::new(project).unwrap()),
        session: one(chance, SESSIONS).map(|session| SessionId::new(session).unwrap()),
        subject: (chance.below(5) == 0).then(|| SubjectId::new("us").unwrap()),
        created_at: observed_at,
        observed_at,
        // Half of those that expire have done so.
        expires_at: (chance.below(6) == 0).then(|| now.plus_ms(chance.below(2_000) as i64 - 1_000)),
        ..memory(&text(chance))
    }
}

fn any_filter(chance: &mut Chance, now: Time) -> Filter {
    let mut filter = Filter::default();
    if chance.below(3) == 0 {
        return filter;
    }
    for _ in 0..1 + chance.below(2) {
        match chance.below(8) {
            0 => filter.kinds = Kind::ALL.iter().copied().filter(|_| chance.below(2) == 0).collect(),
            1 => filter.tags = vec![(*one(chance, TAGS)).to_owned()],
            2 => filter.scope = Scope::Global,
            3 => filter.scope = Scope::Project(ProjectId::new("here").unwrap()),
            4 => filter.session = Some(SessionId::new("three's \"; --").unwrap()),
            5 => filter.subject = Some(SubjectId::new("us").unwrap()),
            6 => filter.trust = Some(*one(chance, Trust::ALL)),
            _ => {
                filter.since = Some(now.plus_ms(-30 * 60_000));
                filter.until = Some(now.plus_ms(-10 * 60_000));
            }
        }
    }
    filter
}

fn any_query(chance: &mut Chance, now: Time) -> Query {
    let asked = text(chance);
    let vector = (chance.below(4) > 0).then(|| Asked { space: space(), vector: vector_of(&asked) });
    let terms = if chance.below(5) == 0 && vector.is_some() { vec![] } else { lexical::terms_of_question(&asked) };
    let limit = *one(chance, &[1, 3, 10, 60]);
    Query { terms, vector, filter: any_filter(chance, now), limit, around: *one(chance, &[0, 1, 2, 5]) }
}

/// Candidates without what differs between two stores: ids of versions, whose salts are random.
type Plain = (MemoryId, String, Match, Vec<i8>, Vec<(i8, Match)>);

fn plain(candidates: &Candidates) -> Vec<Plain> {
    let one = |found: &memoria::model::Candidate| {
        let memory = &found.version.memory;
        (memory.id, memory.text.clone(), found.words.clone(), found.vector.clone(), found.around.clone())
    };
    candidates.found.iter().map(one).collect()
}

fn is_near(a: Option<f32>, b: Option<f32>) -> bool {
    a.zip(b).map_or(a == b, |(a, b)| (a - b).abs() < TOLERANCE)
}

fn meets_alike(a: &Match, b: &Match) -> bool {
    a.len == b.len && a.frequencies == b.frequencies && is_near(a.cosine, b.cosine)
}

fn assert_same(ours: &Candidates, theirs: &Candidates, of: &str) {
    assert_eq!((ours.live, ours.tokens), (theirs.live, theirs.tokens), "{of}");
    assert_eq!(ours.document_frequencies, theirs.document_frequencies, "{of}");
    assert_eq!(ours.cosines.is_some(), theirs.cosines.is_some(), "{of}");
    if let Some((a, b)) = ours.cosines.zip(theirs.cosines) {
        let is_same = a.count == b.count && is_near(Some(a.mean), Some(b.mean));
        assert!(is_same && is_near(Some(a.deviation), Some(b.deviation)), "{of}: {a:?} is not {b:?}");
    }
    let (ours, theirs) = (plain(ours), plain(theirs));
    let ids = |of: &[Plain]| of.iter().map(|it| (it.0, it.1.clone())).collect::<Vec<_>>();
    assert_eq!(ids(&ours), ids(&theirs), "{of}");
    for (a, b) in ours.iter().zip(&theirs) {
        let around = a.4.iter().zip(&b.4).all(|(a, b)| a.0 == b.0 && meets_alike(&a.1, &b.1));
        let is_same = meets_alike(&a.2, &b.2) && a.3 == b.3 && a.4.len() == b.4.len() && around;
        assert!(is_same, "{of}: {a:?} is not {b:?}");
    }
}

/// Asks both about everything that stands under a name.
async fn compare(both: &Both, name: &Name, chance: &mut Chance, questions: u64) {
    let (ours, theirs) = both.at(name).await;
    for _ in 0..questions {
        let query = any_query(chance, both.now);
        let of = format!("{name}: {query:?}");
        let (a, b) = (both.embedded.candidates(&ours, &query), both.matrixone.candidates(&theirs, &query));
        assert_same(&a.await.unwrap(), &b.await.unwrap(), &of);

        let filter = any_filter(chance, both.now);
        let page = Page { offset: chance.below(9) as u32, limit: chance.below(9) as u32 };
        let of = format!("{name}: {page:?} of {filter:?}");
        let a = both.embedded.page(&ours, &filter, page).await.unwrap();
        let b = both.matrixone.page(&theirs, &filter, page).await.unwrap();
        let texts = |listing: memoria::model::Listing| {
            (listing.memories.into_iter().map(|version| version.memory).collect::<Vec<_>>(), listing.total)
        };
        let a = texts(a);
        assert_eq!(a, texts(b), "{of}");

        let some: Vec<MemoryId> = a.0.iter().map(|memory| memory.id).chain([MemoryId([1; 16])]).collect();
        let (a, b) =
            (both.embedded.read(&ours, &some).await.unwrap(), both.matrixone.read(&theirs, &some).await.unwrap());
        let memories = |read: Vec<Option<memoria::model::Version>>| {
            read.into_iter().map(|version| version.map(|version| version.memory)).collect::<Vec<_>>()
        };
        assert_eq!(memories(a), memories(b), "{name}: {some:?}");
        let (a, b) = (both.embedded.short_lens(&some).await.unwrap(), both.matrixone.short_lens(&some).await.unwrap());
        assert_eq!(a, b, "{name}: {some:?}");

        let terms = lexical::terms(one::<&str>(chance, WORDS));
        let limit = chance.below(4) as u32;
        let a = both.embedded.containing(&ours, &terms, &filter, limit).await.unwrap();
        let b = both.matrixone.containing(&theirs, &terms, &filter, limit).await.unwrap();
        assert_eq!(a, b, "{name}: {limit} with {terms:?} of {filter:?}");

        let (a, b) = (scanned(&both.embedded, &ours, &filter).await, scanned(&both.matrixone, &theirs, &filter).await);
        assert_eq!(a, b, "{name}: a scan of {filter:?}");
    }
}

async fn scanned(engine: &impl Engine, at: &At, filter: &Filter) -> (u32, Vec<Memory>) {
    let (mut start, mut all, mut total) = (0, Vec::new(), 0);
    loop {
        let scan = engine.scan(at, filter, start, 700).await.unwrap();
        total += scan.total;
        all.extend(scan.versions.into_iter().map(|version| version.memory));
        match scan.next {
            Some(next) => start = next,
            None => return (total, all),
        }
    }
}

#[test]
fn both_engines_give_the_same_answers_after_the_same_operations() {
    let Some(database) = Database::fresh("same_answers") else { return };
    let mut chance = Chance(seed());
    let both = Both::over(&database);
    runtime().block_on(async {
        let mut names = vec![(Name::main(), Vec::<Memory>::new(), true)];
        for round in 0..setting("MEMORIA_ROUNDS", 14) {
            let of = chance.below(names.len() as u64) as usize;
            let (name, mut known, is_branch) = names[of].clone();
            match chance.below(8) {
                0 | 1 if names.len() < 6 => {
                    let kind = *one(&mut chance, &[NameKind::Branch, NameKind::Snapshot]);
                    let new: Name = format!("name-{round}").parse().unwrap();
                    both.name(&name, &new, kind).await;
                    names.push((new, known, kind == NameKind::Branch));
                    continue;
                }
                _ if !is_branch => continue,
                2..=4 => {
                    let fresh: Vec<Memory> =
                        (0..1 + chance.below(60)).map(|_| any_memory(&mut chance, both.now)).collect();
                    both.change(&name, Verb::Store, fresh.iter().cloned().map(Change::Store).collect()).await;
                    known.extend(fresh);
                }
                _ => {
                    let changed = known.iter().filter(|_| chance.0.is_multiple_of(3)).cloned().collect::<Vec<_>>();
                    let mut change = |old: Memory| match chance.below(3) {
                        0 => Change::Remove { id: old.id, expect: Expect::Live },
                        _ => Change::Replace {
                            memory: Memory { id: old.id, ..any_memory(&mut chance, both.now) },
                            expect: Expect::Live,
                        },
                    };
                    let changes: Vec<Change> = changed.into_iter().take(20).map(&mut change).collect();
                    both.change(&name, Verb::Correct, changes).await;
                }
            }
            if chance.below(2) == 0 {
                both.embed().await;
            }
            names[of].1 = known;
            compare(&both, &name, &mut chance, 3).await;
        }
        for (name, ..) in &names {
            compare(&both, name, &mut chance, 4).await;
        }
    });
}

/// Of 3,000 memories every second one goes: the server can be told of what is left neither by what it holds nor by what
/// it lacks. A head is found in its branch's table; once the head has moved on, the snapshot has no table either.
#[test]
fn a_state_full_of_holes_is_searched_like_any_other() {
    let Some(database) = Database::fresh("holes") else { return };
    let mut chance = Chance(seed());
    let both = Both::over(&database);
    runtime().block_on(async {
        let (main, then): (Name, Name) = (Name::main(), "then".parse().unwrap());
        let all: Vec<Memory> = (0..3_000).map(|_| any_memory(&mut chance, both.now)).collect();
        both.change(&main, Verb::Store, all.iter().cloned().map(Change::Store).collect()).await;
        let mut live = all.iter().map(|memory| memory.id).collect::<BTreeSet<_>>();
        let gone: Vec<MemoryId> = all.iter().step_by(2).map(|memory| memory.id).collect();
        live.retain(|id| !gone.contains(id));
        let remove = |id: MemoryId| Change::Remove { id, expect: Expect::Live };
        both.change(&main, Verb::Purge, gone.into_iter().map(remove).collect()).await;
        both.embed().await;
        compare(&both, &main, &mut chance, 6).await;
        both.name(&main, &then, NameKind::Snapshot).await;
        both.change(&main, Verb::Purge, live.iter().copied().take(150).map(remove).collect()).await;
        compare(&both, &main, &mut chance, 3).await;
        compare(&both, &then, &mut chance, 6).await;
        let prefix = live.iter().next().unwrap().to_string()[..12].to_owned();
        let found = (both.embedded.find(&prefix).await.unwrap(), both.matrixone.find(&prefix).await.unwrap());
        assert_eq!(found.0, found.1);
        assert!(both.at(&then).await.0.live > 1_200, "there are too few memories to be told of by holes");
    });
}
