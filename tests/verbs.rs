//! The verbs over a real store, without a process or a socket: what callers are promised, whoever they are.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use memoria::config::{Config, Secrets};
use memoria::embed::cache::Cache;
use memoria::embed::models::Models;
use memoria::engine::embedded::Embedded;
use memoria::error::{ErrorKind, Result};
use memoria::model::{Filter, Kind, Name, OpId, Page, ProjectId, SessionId, SubjectId, Trust};
use memoria::service::{Caller, Checkouts, Service, Vectors};
use memoria::wire::limits;
use memoria::wire::message::{
    Branch, ClientKind, Correct, Depth, Import, List, Log, Place, Purge, PurgeTarget, Retrieve, Row, SessionScope,
    Show, Snapshot, Store, Stored, Target, View,
};
use tokio::sync::watch;

struct World {
    service: Service<Embedded>,
    config: watch::Sender<Arc<Config>>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = Embedded::open(
            &folder.path().join("memoria.redb"),
            &folder.path().join("index"),
            &folder.path().join("vectors"),
            1 << 20,
        )
        .unwrap();
        let (config, receiver) = watch::channel(Arc::new(Config::default()));
        Self {
            service: Service::new(
                engine,
                receiver,
                Arc::new(Checkouts::open(&folder.path().join("checkouts")).unwrap()),
                vectors(folder.path()),
            ),
            config,
            _folder: folder,
        }
    }

    async fn store(&self, caller: &mut Caller, text: &str) -> Stored {
        self.service.store(&next(caller), Store { text: text.into(), ..Store::default() }).await.unwrap()
    }

    async fn texts(&self, caller: &mut Caller, place: Place) -> Vec<String> {
        let ask = List { view: View::default(), place, filter: Filter::default(), page: Page { offset: 0, limit: 0 } };
        let listed = self.service.list(&next(caller), ask).await.unwrap();
        let mut texts: Vec<String> = listed.memories.into_iter().map(|shaped| shaped.memory.text).collect();
        texts.sort();
        texts
    }

    async fn answers(&self, caller: &mut Caller, question: &str) -> Vec<String> {
        let ask = Retrieve { question: question.into(), ..Retrieve::default() };
        let found = self.service.retrieve(&next(caller), ask).await.unwrap();
        found.hits.into_iter().map(|hit| hit.memory.memory.text).collect()
    }
}

fn caller(client: ClientKind, project: Option<&str>) -> Caller {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nonce = OpId::nonce();
    Caller {
        session: SessionId::new(format!("session-{}", COUNT.fetch_add(1, Ordering::Relaxed))).unwrap(),
        client,
        agent: (client == ClientKind::Shim).then(|| "cursor".to_owned()),
        agent_version: None,
        project: project.map(|project| ProjectId::new(project).unwrap()),
        op: OpId { nonce, line: 0 },
    }
}

/// The same caller with its next operation.
fn next(caller: &mut Caller) -> Caller {
    caller.op.line += 1;
    caller.clone()
}

fn purge_ids(ids: &[&str]) -> Purge {
    Purge {
        branch: None,
        depth: Depth::State,
        target: PurgeTarget::Ids(ids.iter().map(|id| (*id).to_owned()).collect()),
        reason: None,
    }
}

fn correct_id(id: &str, text: &str) -> Correct {
    Correct {
        branch: None,
        target: Target::Id(id.into()),
        text: text.into(),
        reason: None,
        trust: None,
        tags: None,
        marks: Default::default(),
    }
}

fn kind_of<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind
}

#[tokio::test]
async fn a_memory_stored_by_one_agent_is_found_by_another_at_once() {
    let world = World::new();
    let (mut one, mut other) = (caller(ClientKind::Shim, Some("p")), caller(ClientKind::Shim, Some("p")));
    world.store(&mut one, "The staging database runs on port 6433").await;
    assert_eq!(
        world.answers(&mut other, "which port does the staging database use?").await,
        ["The staging database runs on port 6433"]
    );
}

#[tokio::test]
async fn a_question_about_nothing_known_gets_no_answer() {
    let world = World::new();
    let mut agent = caller(ClientKind::Shim, None);
    world.store(&mut agent, "The staging database runs on port 6433").await;
    assert!(world.answers(&mut agent, "who won the chess tournament in Reykjavik?").await.is_empty());
}

#[tokio::test]
async fn equal_text_in_one_project_is_one_memory_and_the_reply_names_it() {
    let world = World::new();
    let mut agent = caller(ClientKind::Shim, Some("p"));
    let first = world.store(&mut agent, "Use tabs in Makefiles").await;
    let second = world.store(&mut agent, "  Use tabs in Makefiles ").await;
    assert!(second.is_duplicate && second.commit.is_none());
    assert_eq!(second.stored.memory.id, first.stored.memory.id);
    let mut elsewhere = caller(ClientKind::Shim, Some("q"));
    assert!(!world.store(&mut elsewhere, "Use tabs in Makefiles").await.is_duplicate);
}

#[tokio::test]
async fn what_is_merely_similar_is_stored_and_named() {
    let world = World::new();
    let mut agent = caller(ClientKind::Shim, None);
    let first = world.store(&mut agent, "The payments service listens on port 8080 in production").await;
    let second = world.store(&mut agent, "The payments service listens on port 9090 in production").await;
    assert!(!second.is_duplicate);
    assert_eq!(second.similar.len(), 1);
    assert_eq!(second.similar[0].memory.memory.id, first.stored.memory.id);
    assert!(world.store(&mut agent, "Alice prefers short commit messages").await.similar.is_empty());
}

#[tokio::test]
async fn the_same_operation_gets_the_first_answer_and_changes_nothing() {
    let world = World::new();
    let mut agent = caller(ClientKind::Shim, None);
    world.store(&mut agent, "The queue is RabbitMQ and the token is one of three").await;
    let stores = Store {
        text: "The queue is RabbitMQ and the key is AKIAIOSFODNN7EXAMPLQ one of three".into(),
        ..Store::default()
    };
    let op = next(&mut agent);
    let first = world.service.store(&op, stores.clone()).await.unwrap();
    let again = world.service.store(&op, stores).await.unwrap();
    assert_eq!(first, again);
    assert_eq!((first.masked.len(), first.similar.len()), (1, 1), "the answer has something to repeat");

    let id = first.stored.memory.id.to_string();
    let op = next(&mut agent);
    let corrected = world.service.correct(&op, correct_id(&id, "The queue is NATS")).await.unwrap();
    assert_eq!(corrected, world.service.correct(&op, correct_id(&id, "The queue is NATS")).await.unwrap());

    let op = next(&mut agent);
    let purge = purge_ids(&[&id, "0123456789abcdef"]);
    let purged = world.service.purge(&op, purge.clone()).await.unwrap();
    assert_eq!(purged, world.service.purge(&op, purge).await.unwrap());
    assert_eq!((purged.removed_total, purged.missing.len()), (1, 1));

    let log = Log::default();
    let logged = world.service.log(&next(&mut agent), log).await.unwrap();
    let verbs: Vec<String> = logged.commits.into_iter().map(|entry| entry.verb).collect();
    assert_eq!(verbs, ["purge", "correct", "store", "store", "init"]);
}

#[tokio::test]
async fn an_operation_id_of_another_verb_is_refused() {
    let world = World::new();
    let mut agent = caller(ClientKind::Shim, None);
    let op = next(&mut agent);
    let stored = world.service.store(&op, Store { text: "a fact".into(), ..Store::default() }).await.unwrap();
    let id = stored.stored.memory.id.to_string();
    assert_eq!(kind_of(world.service.purge(&op, purge_ids(&[&id])).await), ErrorKind::Conflict);
    assert_eq!(world.texts(&mut agent, Place::Everywhere).await, ["a fact"]);
}

#[tokio::test]
async fn a_correction_keeps_the_id_and_everything_it_was_not_asked_to_change() {
    let world = World::new();
    let mut agent = caller(ClientKind::Shim, Some("p"));
    let ask = Store {
        text: "Deploys happen on Fridays".into(),
        kind: Some(Kind::Procedural),
        tags: vec!["deploy".into()],
        metadata: "{\"ticket\":7}".into(),
        ..Store::default()
    };
    let before = world.service.store(&next(&mut agent), ask).await.unwrap().stored.memory;
    let mut person = caller(ClientKind::Cli, Some("p"));
    let corrected = world
        .service
        .correct(&next(&mut person), correct_id(&before.id.to_string()[..8], "Deploys happen on Mondays"))
        .await;
    let corrected = corrected.unwrap();
    let after = &corrected.memory.memory;
    assert_eq!(corrected.before, "Deploys happen on Fridays");
    assert_eq!(
        (after.id, after.kind, &after.tags, &after.metadata),
        (before.id, before.kind, &before.tags, &before.metadata)
    );
    assert_eq!((after.created_at, &after.project), (before.created_at, &before.project));
    assert_eq!(after.trust, Trust::T1, "a person said so");
    assert_eq!(world.texts(&mut agent, Place::Here).await, ["Deploys happen on Mondays"]);

    let shown =
        world.service.show(&next(&mut agent), Show { view: View::default(), id: before.id.to_string() }).await.unwrap();
    let texts: Vec<Option<String>> = shown.history.into_iter().map(|past| past.text).collect();
    assert_eq!(texts, [Some("Deploys happen on Mondays".to_owned()), Some("Deploys happen on Fridays".to_owned())]);
}

#[tokio::test]
async fn a_correction_by_question_finds_its_memory_or_refuses() {
    let world = World::new();
    let mut agent = caller(ClientKind::Shim, None);
    world.store(&mut agent, "The staging database runs on port 6433").await;
    world.store(&mut agent, "Alice prefers short commit messages").await;
    let ask = |question: &str| Correct {
        branch: None,
        target: Target::Question {
            question: question.into(),
            place: Place::Here,
            filter: Filter::default(),
            session_scope: SessionScope::Prefer,
        },
        text: "The staging database runs on port 7000".into(),
        reason: None,
        trust: None,
        tags: None,
        marks: Default::default(),
    };
    let corrected = world.service.correct(&next(&mut agent), ask("port of the staging database")).await.unwrap();
    assert_eq!(corrected.before, "The staging database runs on port 6433");
    assert_eq!(kind_of(world.service.correct(&next(&mut agent), ask("favourite opera")).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_purged_memory_is_gone_and_its_history_stays() {
    let world = World::new();
    let mut agent = caller(ClientKind::Shim, None);
    let id = world.store(&mut agent, "The old wiki is authoritative").await.stored.memory.id.to_string();
    world.service.purge(&next(&mut agent), purge_ids(&[&id])).await.unwrap();
    assert!(world.texts(&mut agent, Place::Everywhere).await.is_empty());
    assert!(world.answers(&mut agent, "is the old wiki authoritative?").await.is_empty());
    let shown = world.service.show(&next(&mut agent), Show { view: View::default(), id: id.clone() }).await.unwrap();
    assert!(!shown.is_live);
    assert_eq!(shown.history.len(), 2);
    let again = world.service.purge(&next(&mut agent), purge_ids(&[&id])).await.unwrap();
    assert_eq!((again.removed_total, again.missing, again.commit), (0, vec![id], None));
}

#[tokio::test]
async fn a_topic_and_a_session_can_be_purged_whole() {
    let world = World::new();
    let (mut one, mut other) = (caller(ClientKind::Shim, None), caller(ClientKind::Shim, None));
    world.store(&mut one, "Kafka topics are named by team").await;
    world.store(&mut one, "Redis holds sessions").await;
    world.store(&mut other, "Kafka runs in three zones").await;
    let topic = |topic: &str| Purge {
        branch: None,
        depth: Depth::State,
        target: PurgeTarget::Topic { topic: topic.into(), place: Place::Here },
        reason: None,
    };
    assert_eq!(kind_of(world.service.purge(&next(&mut one), topic("k")).await), ErrorKind::Invalid);
    assert_eq!(world.service.purge(&next(&mut one), topic("kafka")).await.unwrap().removed_total, 2);
    let session = PurgeTarget::Session { session: one.session.clone(), kinds: vec![] };
    let purged = world
        .service
        .purge(&next(&mut one), Purge { branch: None, depth: Depth::State, target: session, reason: None })
        .await
        .unwrap();
    assert_eq!(purged.removed_total, 1);
    assert!(world.texts(&mut one, Place::Everywhere).await.is_empty());
}

#[tokio::test]
async fn a_project_sees_its_own_memories_and_the_global_ones() {
    let world = World::new();
    let (mut p, mut q) = (caller(ClientKind::Shim, Some("p")), caller(ClientKind::Shim, Some("q")));
    world.store(&mut p, "of p").await;
    world.store(&mut q, "of q").await;
    let profile = Store { text: "likes tea".into(), kind: Some(Kind::Profile), ..Store::default() };
    world.service.store(&next(&mut q), profile).await.unwrap();
    assert_eq!(world.texts(&mut p, Place::Here).await, ["likes tea", "of p"]);
    assert_eq!(world.texts(&mut p, Place::Everywhere).await, ["likes tea", "of p", "of q"]);
    assert_eq!(world.texts(&mut p, Place::Global).await, ["likes tea"]);
    let named = Place::Named(ProjectId::new("q").unwrap());
    assert_eq!(world.texts(&mut p, named).await, ["likes tea", "of q"]);
    let everywhere = Store { text: "x".into(), place: Place::Everywhere, ..Store::default() };
    assert_eq!(kind_of(world.service.store(&next(&mut p), everywhere).await), ErrorKind::Invalid);
}

#[tokio::test]
async fn trust_follows_from_who_speaks() {
    let world = World::new();
    let (mut agent, mut person) = (caller(ClientKind::Shim, None), caller(ClientKind::Cli, None));
    assert_eq!(world.store(&mut agent, "inferred").await.stored.memory.trust, Trust::T3);
    assert_eq!(world.store(&mut person, "typed").await.stored.memory.trust, Trust::T1);
}

/// Invariant 12, as far as the service goes: the text, the tags, the metadata and the reason of a purge.
#[tokio::test]
async fn secrets_are_masked_in_every_field_or_refused_by_policy() {
    let world = World::new();
    let mut agent = caller(ClientKind::Shim, None);
    let secret = "AKIAIOSFODNN7EXAMPLQ";
    let ask = Store {
        text: format!("the key is {secret}"),
        tags: vec![secret.into()],
        metadata: format!("{{\"key\":\"{secret}\"}}"),
        ..Store::default()
    };
    let stored = world.service.store(&next(&mut agent), ask.clone()).await.unwrap();
    assert!(!format!("{stored:?}").contains(secret));
    assert_eq!(stored.masked.iter().map(|masked| masked.count).sum::<u32>(), 3);
    let id = stored.stored.memory.id.to_string();
    let purge = Purge { reason: Some(format!("leaked {secret}")), ..purge_ids(&[&id]) };
    world.service.purge(&next(&mut agent), purge).await.unwrap();
    let shown = world.service.show(&next(&mut agent), Show { view: View::default(), id }).await.unwrap();
    assert!(!format!("{shown:?}").contains(secret));

    let mut config = Config::default();
    config.guard.secrets = Secrets::Block;
    world.config.send_replace(Arc::new(config));
    assert_eq!(kind_of(world.service.store(&next(&mut agent), ask).await), ErrorKind::Invalid);
}

#[tokio::test]
async fn the_reply_says_what_was_masked_and_where_the_placeholder_stands() {
    let world = World::new();
    let mut agent = caller(ClientKind::Shim, None);
    let secret = "AKIAIOSFODNN7EXAMPLQ";
    let ask = Store {
        text: format!("  naïve line\nthe key {secret} and {secret}\n"),
        tags: vec!["plain".into(), secret.into()],
        subject: Some(SubjectId::new(format!("for {secret}")).unwrap()),
        ..Store::default()
    };
    let op = next(&mut agent);
    let stored = world.service.store(&op, ask.clone()).await.unwrap();
    let spots: Vec<String> = stored.masked.iter().flat_map(|masked| &masked.spots).map(ToString::to_string).collect();
    assert_eq!(spots, ["text 2:9", "text 2:38", "tags 1:1", "subject 1:5"]);
    let text = &stored.stored.memory.text;
    for column in [9, 38] {
        let line: String = text.lines().nth(1).unwrap().chars().skip(column - 1).collect();
        assert!(line.starts_with("[masked: AWS access key]"), "{text}");
    }
    assert!(!format!("{stored:?}").contains(secret));
    assert_eq!(world.service.store(&op, ask).await.unwrap().masked, stored.masked, "a replay says the same");
}

/// Whatever a request brings, by each policy: masked by default, refused whole by `block`, kept by `allow`.
#[tokio::test]
async fn each_policy_holds_for_every_field_of_every_request() {
    let secret = "ghp_q0W1e2R3t4Y5u6I7o8P9aSdFgHjKlZxCvBnM";
    for policy in [Secrets::Redact, Secrets::Block, Secrets::Allow] {
        let world = World::new();
        let mut config = Config::default();
        config.guard.secrets = policy;
        world.config.send_replace(Arc::new(config));
        let mut agent = caller(ClientKind::Shim, None);
        let id = world.store(&mut agent, "a plain fact").await.stored.memory.id.to_string();
        let said = |what: Result<String>| match (policy, what) {
            (Secrets::Block, Err(error)) => assert!(error.message.contains("GitHub token"), "{error}"),
            (Secrets::Redact, Ok(shown)) => assert!(!shown.contains(secret) && shown.contains("[masked"), "{shown}"),
            (Secrets::Allow, Ok(shown)) => assert!(shown.contains(secret), "{shown}"),
            (_, what) => panic!("{policy:?}: {what:?}"),
        };
        let debug = |shown: &dyn std::fmt::Debug| format!("{shown:?}");
        let text = format!("the token is {secret}");
        let store = Store { text: text.clone(), ..Store::default() };
        said(world.service.store(&next(&mut agent), store).await.map(|it| debug(&it)));
        let correct = |text: &str, reason: Option<String>| Correct {
            branch: None,
            target: Target::Id(id.clone()),
            text: text.into(),
            reason,
            trust: None,
            tags: None,
            marks: Default::default(),
        };
        said(world.service.correct(&next(&mut agent), correct(&text, None)).await.map(|it| debug(&it)));
        let noted = world.service.correct(&next(&mut agent), correct("another fact", Some(text.clone()))).await;
        let shown =
            world.service.show(&next(&mut agent), Show { view: View::default(), id: id.clone() }).await.unwrap();
        said(noted.map(|_| debug(&shown.history[0].commit)));
        let named = |name: &str| name.parse::<Name>().unwrap();
        let branch = Branch::Create { name: named("trial"), from: None, note: Some(text.clone()) };
        said(world.service.branches(&next(&mut agent), branch).await.map(|it| debug(&it)));
        let at = View::default();
        let snapshot = Snapshot::Create { name: named("noted"), at: at.clone(), note: Some(text.clone()) };
        said(world.service.snapshots(&next(&mut agent), snapshot).await.map(|it| debug(&it)));
        let leaked = Snapshot::Create { name: named("dapi0f1e2d3c4b5a69780f1e2d3c4b5a6978"), at, note: None };
        let leaked = world.service.snapshots(&next(&mut agent), leaked).await;
        assert_eq!(leaked.is_ok(), policy == Secrets::Allow, "a name is refused: it cannot be masked");
        let row = Row { line: 7, text: text.clone(), file: Some(text.clone()), ..Row::default() };
        let import = Import { file: "x.jsonl".into(), rows: vec![row], ..Import::default() };
        let imported = world.service.import(&next(&mut agent), import).await.unwrap();
        match policy {
            Secrets::Block => assert!(imported.refused[0].1.contains("line 7 text"), "{imported:?}"),
            Secrets::Redact => {
                let spots: Vec<_> = imported.masked[0].spots.iter().map(ToString::to_string).collect();
                assert_eq!(spots, ["line 7 text 1:14", "line 7 file 1:14"]);
            }
            Secrets::Allow => assert!(imported.masked.is_empty()),
        }
    }
}

#[tokio::test]
async fn bad_input_gets_a_sentence_and_changes_nothing() {
    let world = World::new();
    let mut agent = caller(ClientKind::Shim, None);
    let long = "x".repeat(limits::TEXT_BYTES_MAX + 1);
    let many_tags: Vec<String> = (0..=limits::TAGS_MAX).map(|number| number.to_string()).collect();
    for (ask, kind) in [
        (Store { text: " \n ".into(), ..Store::default() }, ErrorKind::Invalid),
        (Store { text: long, ..Store::default() }, ErrorKind::TooLarge),
        (Store { text: "x".into(), tags: many_tags, ..Store::default() }, ErrorKind::TooLarge),
        (Store { text: "x".into(), tags: vec!["\u{7}".into()], ..Store::default() }, ErrorKind::Invalid),
    ] {
        let error = world.service.store(&next(&mut agent), ask).await.unwrap_err();
        assert_eq!(error.kind, kind);
        assert!(error.message.len() < 300, "{error}");
    }
    let empty = Retrieve { question: "  ".into(), ..Retrieve::default() };
    assert_eq!(kind_of(world.service.retrieve(&next(&mut agent), empty).await), ErrorKind::Invalid);
    for id in ["abc", "zzzzzzzz", "0123456789abcdef"] {
        assert!(world.service.show(&next(&mut agent), Show { view: View::default(), id: id.into() }).await.is_err());
    }
    assert!(world.texts(&mut agent, Place::Everywhere).await.is_empty());
}

#[tokio::test]
async fn a_long_list_comes_in_pages_that_lose_nothing() {
    let world = World::new();
    let mut agent = caller(ClientKind::Shim, None);
    for number in 0..70 {
        world.store(&mut agent, &format!("{number:03}").repeat(limits::TEXT_BYTES_MAX / 3)).await;
    }
    let mut seen = Vec::new();
    loop {
        let page = Page { offset: seen.len() as u32, limit: 0 };
        let ask = List { view: View::default(), place: Place::Everywhere, filter: Filter::default(), page };
        let listed = world.service.list(&next(&mut agent), ask).await.unwrap();
        assert_eq!(listed.total, 70);
        let bytes: usize = listed.memories.iter().map(|shaped| shaped.memory.text.len()).sum();
        assert!(!listed.memories.is_empty() && bytes <= limits::RESULT_TEXTS_BYTES_MAX);
        seen.extend(listed.memories.into_iter().map(|shaped| shaped.memory.text[..3].to_owned()));
        if seen.len() == 70 {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 70);
}

/// Vectors of a service that has no model but the built-in one.
fn vectors(folder: &Path) -> Arc<Vectors> {
    let models = Models::new(&folder.join("models"), &folder.join("embedding"));
    Vectors::new(models, Cache::new(&folder.join("cache"), 1 << 20))
}
