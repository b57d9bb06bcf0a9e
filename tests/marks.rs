//! What is asked of memories beside what they say, over a real store: feedback, age, pins, ends, profiles, working
//! memories, sessions and subjects. What callers are promised, whoever they are.

use std::sync::Arc;

use memoria::config::Config;
use memoria::embed::cache::Cache;
use memoria::embed::models::Models;
use memoria::engine::embedded::Embedded;
use memoria::error::ErrorKind;
use memoria::model::{Feedback, Filter, Kind, OpId, Page, SessionId, Signal, SubjectId, Time, Trust};
use memoria::service::{Caller, Checkouts, Service, Vectors};
use memoria::wire::message::{
    Blame, Branch, ClientKind, Correct, EndSession, Expiry, Import, List, Mark, Marks, Place, Profile, Purge,
    PurgeTarget, Rate, Rated, Retrieve, Revert, Row, SessionScope, Shaped, Show, Store, Stored, Target, Tiers, View,
};
use memoria::{clock, service};
use tokio::sync::watch;

const DAY_MS: i64 = 86_400_000;

struct World {
    service: Service<Embedded>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let engine = Embedded::open(&at("memoria.redb"), &at("index"), &at("vectors"), 1 << 20).unwrap();
        let (_, config) = watch::channel(Arc::new(Config::default()));
        let models = Models::new(&at("models"), &at("embedding"));
        let vectors: Arc<Vectors> = service::Vectors::new(models, Cache::new(&at("cache"), 1 << 20));
        let checkouts = Arc::new(Checkouts::open(&at("checkouts")).unwrap());
        Self { service: Service::new(engine, config, checkouts, vectors), _folder: folder }
    }

    async fn store(&self, caller: &mut Caller, ask: Store) -> Stored {
        self.service.store(&next(caller), ask).await.unwrap()
    }

    async fn rate(&self, caller: &mut Caller, id: &str, signal: Signal) -> Rated {
        self.service.rate(&next(caller), Rate { id: id.into(), signal }).await.unwrap()
    }

    async fn mark(&self, caller: &mut Caller, id: &str, marks: Marks) -> Shaped {
        let ask = Mark { branch: None, ids: vec![id.into()], marks };
        self.service.mark(&next(caller), ask).await.unwrap().memories.remove(0)
    }

    async fn listed(&self, caller: &mut Caller, filter: Filter) -> Vec<Shaped> {
        let page = Page { offset: 0, limit: 0 };
        let ask = List { view: View::default(), place: Place::Everywhere, filter, page };
        self.service.list(&next(caller), ask).await.unwrap().memories
    }

    async fn texts(&self, caller: &mut Caller, filter: Filter) -> Vec<String> {
        let mut texts: Vec<String> =
            self.listed(caller, filter).await.into_iter().map(|shaped| shaped.memory.text).collect();
        texts.sort();
        texts
    }

    async fn answers(&self, caller: &mut Caller, ask: Retrieve) -> Vec<String> {
        let found = self.service.retrieve(&next(caller), ask).await.unwrap();
        found.hits.into_iter().map(|hit| hit.memory.memory.text).collect()
    }

    async fn show(&self, caller: &mut Caller, id: &str, at: Option<&str>) -> Shaped {
        let view = View { branch: None, at: at.map(str::to_owned) };
        self.service.show(&next(caller), Show { view, id: id.into() }).await.unwrap().memory
    }
}

fn caller(session: &str) -> Caller {
    Caller {
        session: SessionId::new(session).unwrap(),
        client: ClientKind::Shim,
        agent: Some("cursor".to_owned()),
        agent_version: None,
        project: None,
        op: OpId { nonce: OpId::nonce(), line: 0 },
    }
}

/// The same caller with its next operation.
fn next(caller: &mut Caller) -> Caller {
    caller.op.line += 1;
    caller.clone()
}

fn text(text: &str) -> Store {
    Store { text: text.into(), ..Store::default() }
}

fn aged(words: &str, days: i64) -> Store {
    Store { observed_at: Some(clock::now().plus_ms(-days * DAY_MS)), ..text(words) }
}

fn question(question: &str) -> Retrieve {
    Retrieve { question: question.into(), ..Retrieve::default() }
}

/// Rows of a file that a person imports.
fn rows(rows: Vec<Row>) -> Import {
    let rows = (1..).zip(rows).map(|(line, row)| Row { line, ..row }).collect();
    Import { file: "facts.jsonl".into(), rows, ..Import::default() }
}

fn row(text: &str) -> Row {
    Row { text: text.into(), ..Row::default() }
}

const PINNED: Marks = Marks { pinned: Some(true), expiry: Expiry::Keep };

#[tokio::test]
async fn feedback_is_counted_once_however_often_its_operation_is_sent() {
    let (world, mut agent) = (World::new(), caller("one"));
    let id = world.store(&mut agent, text("We deploy with Buildkite")).await.stored.short_id();
    let asked = next(&mut agent);
    for _ in 0..3 {
        let rated = world.service.rate(&asked, Rate { id: id.clone(), signal: Signal::Useful }).await.unwrap();
        assert_eq!((rated.short_id(), rated.feedback.useful), (id.clone(), 1));
    }
    let rated = world.rate(&mut agent, &id, Signal::Wrong).await;
    assert_eq!((rated.feedback.useful, rated.feedback.wrong), (1, 1));
    assert!(
        world.service.rate(&next(&mut agent), Rate { id: "ffffffff".into(), signal: Signal::Useful }).await.is_err()
    );
}

#[tokio::test]
async fn use_refreshes_what_is_left_of_a_confidence_and_the_past_knows_nothing_of_it() {
    let (world, mut agent) = (World::new(), caller("one"));
    let stored = world.store(&mut agent, aged("The staging port is 6433", 60)).await;
    let id = stored.stored.short_id();
    assert_eq!(stored.stored.memory.trust, Trust::T3);
    assert_eq!(world.show(&mut agent, &id, None).await.confidence.0, 325, "a half-life has passed");
    world.rate(&mut agent, &id, Signal::Useful).await;
    let shown = world.show(&mut agent, &id, None).await;
    assert_eq!((shown.confidence.0, shown.memory.confidence.0, shown.feedback.useful), (650, 650, 1));
    // Another commit, so that the first is the past.
    world.store(&mut agent, text("Something else")).await;
    let commit = stored.commit.unwrap().to_string();
    let past = world.show(&mut agent, &id, Some(&commit)).await;
    assert_eq!(past.confidence.0, 325, "judged at the commit's time, by what was known then");
    assert!(past.feedback.is_none());
    let view = View { branch: None, at: Some(commit) };
    let blamed = world.service.blame(&next(&mut agent), Blame { view, id: id.clone() }).await.unwrap().memory;
    assert_eq!((blamed.confidence.0, blamed.feedback.is_none()), (325, true), "nor does blame");
    // At once after it was made, or where the clock went back, it is still a state of its own time.
    let head = world.store(&mut agent, text("One more")).await.commit.unwrap().to_string();
    assert!(world.show(&mut agent, &id, Some(&head)).await.feedback.is_none());
}

#[tokio::test]
async fn of_two_that_answer_alike_the_useful_one_comes_first_and_explains_itself() {
    let (world, mut agent) = (World::new(), caller("one"));
    for words in ["The uploader retries five times", "The downloader retries four times"] {
        let id = world.store(&mut agent, text(words)).await.stored.short_id();
        if words.starts_with("The up") {
            world.rate(&mut agent, &id, Signal::Wrong).await;
        } else {
            world.rate(&mut agent, &id, Signal::Useful).await;
        }
    }
    let ask = Retrieve { explain: true, ..question("how often are things retried?") };
    let found = world.service.retrieve(&next(&mut agent), ask).await.unwrap();
    assert_eq!(found.hits[0].memory.memory.text, "The downloader retries four times");
    let feedback: Vec<f32> = found.hits.iter().map(|hit| hit.parts.as_ref().unwrap().feedback).collect();
    assert!(feedback[0] > 1.0 && feedback[1] < 1.0, "{feedback:?}");
    let nothing = world.answers(&mut agent, question("which colour has the office carpet?")).await;
    assert!(nothing.is_empty(), "what is useful is no answer to everything: {nothing:?}");
}

#[tokio::test]
async fn a_correction_answers_what_was_said_against_the_text_before_and_its_undoing_brings_that_back() {
    let (world, mut agent) = (World::new(), caller("one"));
    let id = world.store(&mut agent, text("The port is 6433")).await.stored.short_id();
    world.rate(&mut agent, &id, Signal::Wrong).await;
    let is_doubted = |shown: &Shaped| shown.feedback.is_doubted(&shown.memory);
    assert!(is_doubted(&world.show(&mut agent, &id, None).await));
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    let (target, text) = (Target::Id(id.clone()), "The port is 7000".to_owned());
    let (branch, marks) = (None, Marks::default());
    let ask = Correct { branch, target, text, reason: None, trust: None, tags: None, marks };
    let corrected = world.service.correct(&next(&mut agent), ask).await.unwrap();
    let shown = world.show(&mut agent, &id, None).await;
    assert!(!is_doubted(&shown) && shown.feedback.wrong == 1, "it is known, and about another text: {shown:?}");
    let commits = vec![corrected.commit.unwrap().to_string()];
    let (mode, page) = (memoria::wire::message::Mode::Do, Page::default());
    let revert = Revert { commits, branch: None, later: Default::default(), mode, page };
    world.service.revert(&next(&mut agent), revert).await.unwrap();
    assert!(is_doubted(&world.show(&mut agent, &id, None).await));
}

#[tokio::test]
async fn what_a_file_says_for_itself_never_puts_it_before_what_the_user_verified() {
    let (world, mut person) = (World::new(), Caller { client: ClientKind::Cli, ..caller("cli") });
    world.store(&mut person, text("The uploader retries five times")).await;
    let (much, later) = (u32::MAX, clock::now().plus_ms(365 * DAY_MS));
    let feedback = Feedback { useful: much, useful_at: Some(later), ..Feedback::default() };
    let boast = Row { trust: Some(Trust::T1), is_pinned: true, feedback, ..row("The downloader retries four times") };
    let imported = world.service.import(&next(&mut person), rows(vec![boast.clone()])).await.unwrap();
    assert_eq!((imported.stored, imported.lowered), (1, 1));
    let ask = || Retrieve { explain: true, ..question("how often are things retried?") };
    let found = world.service.retrieve(&next(&mut person), ask()).await.unwrap();
    let texts: Vec<&str> = found.hits.iter().map(|hit| hit.memory.memory.text.as_str()).collect();
    assert_eq!(texts, ["The uploader retries five times", "The downloader retries four times"]);
    let boasting = &found.hits[1].memory;
    assert_eq!((boasting.feedback.useful, boasting.memory.pinned, boasting.memory.trust), (3, false, Trust::T3));
    assert!(boasting.feedback.useful_at.unwrap() <= clock::now(), "nothing was of use in a time to come");
    let priors: Vec<f32> = found
        .hits
        .iter()
        .map(|hit| hit.parts.as_ref().map_or(0.0, |parts| parts.trust * parts.age * parts.feedback))
        .collect();
    assert!(priors[0] > priors[1], "{priors:?}");

    let again = world.service.import(&next(&mut person), rows(vec![boast.clone()])).await.unwrap();
    assert_eq!((again.stored, again.existing), (0, 1));
    let found = world.service.retrieve(&next(&mut person), ask()).await.unwrap();
    assert_eq!(found.hits[1].memory.feedback.useful, 3, "what comes twice counts once");

    let other = World::new();
    let vouched = Import { tiers: Tiers::Kept, ..rows(vec![boast]) };
    assert_eq!(other.service.import(&next(&mut person), vouched).await.unwrap().lowered, 0);
    let kept = other.listed(&mut person, Filter::default()).await.remove(0);
    assert_eq!((kept.feedback.useful, kept.memory.pinned, kept.memory.trust), (much, true, Trust::T1));
}

#[tokio::test]
async fn what_is_imported_ends_as_what_is_stored_does() {
    let (world, mut person) = (World::new(), Caller { client: ClientKind::Cli, ..caller("cli") });
    let working = Row { kind: Some(Kind::Working), ..row("Look at the parser next") };
    let over = Row { expires_at: Some(Time(5)), ..row("The freeze ends today") };
    let imported = world.service.import(&next(&mut person), rows(vec![working, over])).await.unwrap();
    assert_eq!(imported.stored, 1);
    assert!(imported.refused[0].0 == 2 && imported.refused[0].1.contains("is past"), "{:?}", imported.refused);
    let stored = world.listed(&mut person, Filter::default()).await.remove(0).memory;
    assert_eq!(stored.expires_at.unwrap().since(stored.created_at), 7 * DAY_MS, "its session never ends");
}

#[tokio::test]
async fn what_has_expired_is_in_no_answer_and_an_end_in_the_past_is_refused() {
    let (world, mut agent) = (World::new(), caller("one"));
    let (later, asked) = (clock::now().plus_ms(DAY_MS), || question("when does the freeze end?"));
    let ending = Store { expires_at: Some(later), ..text("The freeze ends today") };
    let id = world.store(&mut agent, ending).await.stored.short_id();
    assert_eq!(world.show(&mut agent, &id, None).await.memory.expires_at, Some(later));
    assert_eq!(world.answers(&mut agent, asked()).await, ["The freeze ends today"]);
    let soon = Marks { pinned: None, expiry: Expiry::At(clock::now().plus_ms(1_000)) };
    let soon = world.mark(&mut agent, &id, soon).await.memory.expires_at.unwrap();
    while clock::now() <= soon {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(world.answers(&mut agent, asked()).await.is_empty());
    assert!(world.texts(&mut agent, Filter::default()).await.is_empty());
    let past = Store { expires_at: Some(Time(5)), ..text("Too late") };
    assert_eq!(world.service.store(&next(&mut agent), past).await.unwrap_err().kind, ErrorKind::Invalid);
}

#[tokio::test]
async fn a_pin_keeps_a_memory_young_says_nothing_new_and_can_be_taken_back() {
    let (world, mut agent) = (World::new(), caller("one"));
    let before = world.store(&mut agent, aged("Never push to main", 365)).await.stored;
    let id = before.short_id();
    let pinned = world.mark(&mut agent, &id, PINNED).await;
    assert!(pinned.memory.pinned && pinned.confidence == pinned.memory.confidence, "{pinned:?}");
    let same = (pinned.memory.text, pinned.memory.observed_at, pinned.memory.trust, pinned.memory.origin);
    let memory = before.memory;
    assert_eq!(same, (memory.text, memory.observed_at, memory.trust, memory.origin));
    let again = Mark { branch: None, ids: vec![id.clone(), "ffffffff".into()], marks: PINNED };
    let again = world.service.mark(&next(&mut agent), again).await.unwrap();
    assert_eq!((again.unchanged, again.commit, again.missing), (1, None, vec!["ffffffff".to_owned()]));
    let unpinned = world.mark(&mut agent, &id, Marks { pinned: Some(false), expiry: Expiry::Keep }).await;
    assert!(!unpinned.memory.pinned && unpinned.confidence < unpinned.memory.confidence);
    let marks = Marks { pinned: Some(true), expiry: Expiry::At(clock::now().plus_ms(DAY_MS)) };
    let (branch, target, text) = (None, Target::Id(id), "Never push to main or release".into());
    let ask = Correct { branch, target, text, reason: None, trust: None, tags: None, marks };
    let corrected = world.service.correct(&next(&mut agent), ask).await.unwrap().memory.memory;
    assert!(corrected.pinned && corrected.expires_at.is_some());
}

#[tokio::test]
async fn a_working_memory_ends_with_its_session_and_a_pinned_one_stays() {
    let world = World::new();
    let (mut one, mut other) = (caller("one"), caller("other"));
    let working = |words: &str| Store { kind: Some(Kind::Working), ..text(words) };
    let stored = world.store(&mut one, working("Look at the parser next")).await.stored.memory;
    let kept_ms = stored.expires_at.unwrap().since(stored.created_at);
    assert_eq!(kept_ms, 7 * DAY_MS, "a session that never says goodbye is outlived by a week");
    world.store(&mut other, working("The other session's step")).await;
    world.store(&mut one, text("A fact of the first session")).await;
    let kept = world.store(&mut one, working("Half of the migration is done")).await.stored.short_id();
    assert_eq!(world.mark(&mut one, &kept, PINNED).await.memory.expires_at, None, "a pin lifts the end");

    let asked = next(&mut one);
    let ended = world.service.end_session(&asked, EndSession::default()).await.unwrap();
    assert_eq!(ended.removed, 1);
    let again = world.service.end_session(&asked, EndSession::default()).await.unwrap();
    assert_eq!(again, ended, "said twice, done once");
    let left = ["A fact of the first session", "Half of the migration is done", "The other session's step"];
    assert_eq!(world.texts(&mut other, Filter::default()).await, left);

    let commits = vec![ended.commit.unwrap().to_string()];
    let (mode, page) = (memoria::wire::message::Mode::Do, Page::default());
    let revert = Revert { commits, branch: None, later: Default::default(), mode, page };
    world.service.revert(&next(&mut other), revert).await.unwrap();
    assert_eq!(world.texts(&mut other, Filter::default()).await.len(), 4, "the end of a session can be taken back");

    let nothing = world.service.end_session(&caller("nobody"), EndSession::default()).await.unwrap();
    assert_eq!((nothing.removed, nothing.commit), (0, None), "no commit for nothing");
    let named = EndSession { session: SessionId::new("other").ok(), branch: None };
    assert_eq!(world.service.end_session(&next(&mut one), named).await.unwrap().removed, 1);
    let unpinned = world.mark(&mut one, &kept, Marks { pinned: Some(false), expiry: Expiry::Keep }).await;
    assert!(unpinned.memory.expires_at.is_some(), "without its pin it has an end again");
}

#[tokio::test]
async fn a_session_that_is_preferred_comes_first_and_one_that_is_required_comes_alone() {
    let (world, mut one, mut other) = (World::new(), caller("one"), caller("other"));
    world.store(&mut one, text("The uploader retries five times")).await;
    world.store(&mut other, text("The downloader retries four times")).await;
    let session = |session: &str| Filter { session: SessionId::new(session).ok(), ..Filter::default() };
    let ask =
        |filter: Filter, session_scope| Retrieve { filter, session_scope, ..question("how often are things retried?") };
    let (up, down) = ("The uploader retries five times", "The downloader retries four times");
    for (of, first, last) in [("one", up, down), ("other", down, up)] {
        let preferred = world.answers(&mut one, ask(session(of), SessionScope::Prefer)).await;
        assert_eq!(preferred, [first, last], "{of} is preferred");
        assert_eq!(world.answers(&mut one, ask(session(of), SessionScope::Only)).await, [first], "{of} alone");
        assert_eq!(world.texts(&mut one, session(of)).await, [first]);
    }
    let own = world.answers(&mut other, question("how often are things retried?")).await;
    assert_eq!(own, [down, up], "without a word the caller's own session is preferred");
    assert!(world.answers(&mut one, ask(session("on"), SessionScope::Only)).await.is_empty(), "a prefix is no session");
}

#[tokio::test]
async fn a_subject_is_asked_for_exactly() {
    let (world, mut agent) = (World::new(), caller("one"));
    let about = |subject: &str, words: &str| Store { subject: SubjectId::new(subject).ok(), ..text(words) };
    world.store(&mut agent, about("ann", "Prefers tea in the morning")).await;
    world.store(&mut agent, about("Ann", "Prefers coffee in the morning")).await;
    world.store(&mut agent, text("The morning meeting is at nine")).await;
    let filter = || Filter { subject: SubjectId::new("ann").ok(), ..Filter::default() };
    assert_eq!(world.texts(&mut agent, filter()).await, ["Prefers tea in the morning"]);
    let ask = Retrieve { filter: filter(), ..question("what happens in the morning?") };
    assert_eq!(world.answers(&mut agent, ask).await, ["Prefers tea in the morning"]);
}

#[tokio::test]
async fn a_profile_is_of_one_subject_with_the_surest_first_and_names_the_others() {
    let (world, mut agent) = (World::new(), caller("one"));
    let profile = |words: &str, trust, subject: Option<&str>| Store {
        kind: Some(Kind::Profile),
        trust: Some(trust),
        subject: subject.map(|subject| SubjectId::new(subject).unwrap()),
        ..text(words)
    };
    world.store(&mut agent, profile("Prefers small commits", Trust::T3, None)).await;
    world.store(&mut agent, profile("Works in Lisbon", Trust::T1, None)).await;
    let old = Store { observed_at: Some(Time(0)), ..profile("Uses vim", Trust::T1, None) };
    let old = world.store(&mut agent, old).await.stored.short_id();
    world.store(&mut agent, profile("Is allergic to nuts", Trust::T1, Some("ann"))).await;
    world.store(&mut agent, text("The build takes a minute")).await;
    let order = async |agent: &mut Caller, subject: Option<&str>| {
        let subject = subject.map(|subject| SubjectId::new(subject).unwrap());
        let profiled = world.service.profile(&next(agent), Profile { subject, ..Profile::default() }).await.unwrap();
        let texts: Vec<String> = profiled.memories.iter().map(|shaped| shaped.memory.text.clone()).collect();
        (texts, profiled.total, profiled.others)
    };
    let (texts, total, others) = order(&mut agent, None).await;
    assert_eq!(texts, ["Works in Lisbon", "Prefers small commits", "Uses vim"]);
    assert_eq!((total, others), (3, vec![(SubjectId::new("ann").ok(), 1)]));
    world.mark(&mut agent, &old, PINNED).await;
    assert_eq!(order(&mut agent, None).await.0[0], "Uses vim", "what is pinned comes first");
    assert_eq!(order(&mut agent, Some("ann")).await.0, ["Is allergic to nuts"]);
}

#[tokio::test]
async fn a_memory_of_another_branch_is_not_called_erased() {
    let (world, mut agent) = (World::new(), caller("one"));
    let create = Branch::Create { name: "idea".parse().unwrap(), from: None, note: None };
    world.service.branches(&next(&mut agent), create).await.unwrap();
    let there = Store { branch: Some("idea".parse().unwrap()), ..text("Queues are an idea") };
    let id = world.store(&mut agent, there).await.stored.short_id();
    let asked = world.service.show(&next(&mut agent), Show { view: View::default(), id: id.clone() }).await;
    let said = asked.unwrap_err().message;
    assert!(said.contains("on another branch"), "{said}");
    let view = View { branch: Some("idea".parse().unwrap()), at: None };
    assert!(world.service.show(&next(&mut agent), Show { view, id }).await.unwrap().is_live);
}

#[tokio::test]
async fn a_profile_counts_all_that_there_is() {
    let (world, mut person) = (World::new(), Caller { client: ClientKind::Cli, ..caller("cli") });
    let one = |n| Row { kind: Some(Kind::Profile), trust: Some(Trust::T3), ..row(&format!("Likes number {n}")) };
    world.service.import(&next(&mut person), rows((0..1_100).map(one).collect())).await.unwrap();
    let profiled = world.service.profile(&next(&mut person), Profile::default()).await.unwrap();
    assert_eq!((profiled.total, profiled.memories.len()), (1_100, 50));
}

#[tokio::test]
async fn what_was_purged_keeps_what_was_said_of_it_until_it_is_erased() {
    let (world, mut agent) = (World::new(), caller("one"));
    let id = world.store(&mut agent, text("The key was in the wiki")).await.stored.memory.id.to_string();
    world.rate(&mut agent, &id, Signal::Outdated).await;
    for depth in [memoria::wire::message::Depth::State, memoria::wire::message::Depth::Bytes] {
        let target = PurgeTarget::Ids(vec![id.clone()]);
        world.service.purge(&next(&mut agent), Purge { branch: None, target, depth, reason: None }).await.unwrap();
        let rated = world.service.rate(&next(&mut agent), Rate { id: id.clone(), signal: Signal::Wrong }).await;
        match depth {
            memoria::wire::message::Depth::State => assert_eq!(rated.unwrap().feedback.outdated, 1),
            memoria::wire::message::Depth::Bytes => assert_eq!(rated.unwrap_err().kind, ErrorKind::NotFound),
        }
    }
}
