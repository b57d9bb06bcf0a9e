//! A store in which everything has happened once, for those who copy stores. It checks nothing.

use memoria::clock;
use memoria::engine::conformance::samples::{memory, op, write};
use memoria::engine::{Engine, Erase};
use memoria::model::{
    Author, Change, Expect, Feedback, Filter, Memory, Name, NameChange, NameKind, PINNED, Page, Plan, Rating, Revision,
    Rule, SessionId, Signal, Time, Verb, Work, Write,
};

pub fn name(name: &str) -> Name {
    name.parse().unwrap()
}

pub async fn apply(engine: &impl Engine, branch: &str, work: Work) {
    engine.apply(op(), Write { branch: name(branch), work, ..write(Verb::Store, vec![]).unwrap() }).await.unwrap();
}

pub async fn store(engine: &impl Engine, branch: &str, memories: &[Memory]) {
    apply(engine, branch, Work::Changes(memories.iter().cloned().map(Change::Store).collect())).await;
}

pub async fn correct(engine: &impl Engine, branch: &str, of: &Memory, text: &str) {
    let memory = Memory { text: text.into(), ..of.clone() };
    apply(engine, branch, Work::Changes(vec![Change::Replace { memory, expect: Expect::Live }])).await;
}

pub async fn named(engine: &impl Engine, new: &str, kind: NameKind) {
    let commit = engine.resolve(&Revision::Name(Name::main()), clock::now()).await.unwrap().commit;
    let names = vec![NameChange::Create { name: name(new), kind, commit, note: Some("why".into()) }];
    engine.apply(op(), Write { names, ..write(Verb::Store, vec![]).unwrap() }).await.unwrap();
}

/// Of each: whether it is pinned, when it ends, what was said of it. What is pinned must be found by its pin.
pub async fn marks(engine: &impl Engine, of: &[Memory]) -> Vec<(bool, Option<Time>, Feedback)> {
    let at = engine.resolve(&Revision::Name(Name::main()), clock::now()).await.unwrap();
    let ids: Vec<_> = of.iter().map(|memory| memory.id).collect();
    let live = engine.read(&at, &ids).await.unwrap().into_iter();
    let marks = live.map(|version| version.map_or((false, None), |it| (it.memory.pinned, it.memory.expires_at)));
    let said = engine.feedback(&ids).await.unwrap();
    let marks: Vec<_> = marks.zip(said).map(|((pinned, end), said)| (pinned, end, said)).collect();
    let filter = Filter { tags: vec![PINNED.to_owned()], ..Filter::default() };
    let found = engine.page(&at, &filter, Page { offset: 0, limit: 0 }).await.unwrap().total;
    assert_eq!(found as usize, marks.iter().filter(|(pinned, ..)| *pinned).count(), "found by their pins");
    marks
}

/// A store with one of everything: a wide commit, branches, a merge, one in progress, a deleted name, an erasure,
/// feedback, a pin, an end.
pub async fn eventful(engine: &impl Engine, imported: u32) -> Vec<Memory> {
    let few: Vec<_> = (0..20).map(|n| memory(&format!("the rate limit of service {n} is {n}00 per minute"))).collect();
    store(engine, "main", &few).await;
    let many: Vec<_> = (0..imported).map(|n| memory(&format!("imported note {n} about subject {}", n % 97))).collect();
    store(engine, "main", &many).await;
    named(engine, "idea", NameKind::Branch).await;
    named(engine, "before", NameKind::Snapshot).await;
    named(engine, "gone", NameKind::Branch).await;
    correct(engine, "idea", &few[0], "the rate limit of service 0 is 50").await;
    correct(engine, "main", &few[1], "service 1 has no limit").await;
    merge(engine, "idea").await;
    named(engine, "clash", NameKind::Branch).await;
    correct(engine, "clash", &few[2], "this here").await;
    correct(engine, "main", &few[2], "that there").await;
    merge(engine, "clash").await;
    let ratings = [(3, Signal::Useful), (4, Signal::Useful), (4, Signal::Wrong)];
    let ratings = ratings
        .map(|(n, signal): (usize, _)| Rating { id: few[n].id, said: Feedback::word(signal, clock::now()) })
        .to_vec();
    engine.apply(op(), Write { ratings, ..write(Verb::Store, vec![]).unwrap() }).await.unwrap();
    let end = Some(clock::now().plus_ms(86_400_000));
    let marked = [Memory { pinned: true, ..few[5].clone() }, Memory { expires_at: end, ..few[6].clone() }];
    let marked = marked.map(|memory| Change::Replace { memory, expect: Expect::Live }).to_vec();
    apply(engine, "main", Work::Changes(marked)).await;
    let gone = vec![NameChange::Delete { name: name("gone") }];
    engine.apply(op(), Write { names: gone, ..write(Verb::Store, vec![]).unwrap() }).await.unwrap();
    let author = Author { agent: None, agent_version: None, session: SessionId::new("s").unwrap(), project: None };
    let erase = Erase { ids: vec![few[3].id, many[7].id], author, note: None, at: clock::now() };
    engine.erase(op(), erase).await.unwrap();
    assert!(engine.pending(&Name::main()).await.unwrap().is_some(), "a merge waits");
    few
}

pub async fn merge(engine: &impl Engine, from: &str) {
    let theirs = engine.resolve(&Revision::Name(name(from)), clock::now()).await.unwrap().commit;
    apply(engine, "main", Work::Plan(Plan::Merge { theirs, rule: Rule::Fail, resolutions: vec![] })).await;
}
