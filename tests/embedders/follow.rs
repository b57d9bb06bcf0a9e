//! How vectors follow what is stored, through the verbs and an endpoint that works, waits, lies or goes away: a store
//! is never held up, nothing is lost, and whoever asks meanwhile finds the words.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use memoria::config::Config;
use memoria::embed::cache::Cache;
use memoria::embed::models::Models;
use memoria::engine::embedded::Embedded;
use memoria::model::{MemoryId, OpId, SessionId};
use memoria::service::{Caller, Checkouts, Service, Vectors, follow};
use memoria::wire::message::{
    ClientKind, Depth, EmbeddingStatus, Purge, PurgeTarget, Retrieve, Retrieved, Store, Stored,
};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::hosts::{Host, letters, reply, vectors};

/// Each after a pause: two minutes at least.
const LOOKS_MAX: u32 = 4_000;

/// A daemon's service without the daemon, and what follows behind it.
struct World {
    service: Arc<Service<Embedded>>,
    vectors: Arc<Vectors>,
    config: watch::Sender<Arc<Config>>,
    runtime: Runtime,
    nonce: [u8; 16],
    next_op: u64,
}

impl World {
    fn open(folder: &Path, config: Config) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let engine =
            Embedded::open(&folder.join("memoria.redb"), &folder.join("index"), &folder.join("vectors"), 1 << 20);
        let (config, receiver) = watch::channel(Arc::new(config));
        let checkouts = Arc::new(Checkouts::open(&folder.join("checkouts")).unwrap());
        let models = Models::new(&folder.join("models"), &folder.join("embedding"));
        let vectors = Vectors::new(models, Cache::new(&folder.join("cache"), 1 << 20));
        let service = Service::new(engine.unwrap(), receiver.clone(), checkouts, Arc::clone(&vectors));
        let service = Arc::new(service);
        runtime.spawn(follow(Arc::downgrade(&service), receiver));
        Self { service, vectors, config, runtime, nonce: MemoryId::random().0, next_op: 1 }
    }

    fn caller(&mut self) -> Caller {
        self.next_op += 1;
        Caller {
            session: SessionId::new("a session").unwrap(),
            client: ClientKind::Cli,
            agent: None,
            agent_version: None,
            project: None,
            op: OpId { nonce: self.nonce, line: self.next_op },
        }
    }

    fn store(&mut self, text: &str) -> Stored {
        let caller = self.caller();
        let ask = Store { text: text.to_owned(), ..Store::default() };
        let stored = self.runtime.block_on(self.service.store(&caller, ask)).unwrap();
        self.vectors.wake();
        stored
    }

    fn ask(&mut self, question: &str) -> Retrieved {
        let caller = self.caller();
        let ask = Retrieve { question: question.to_owned(), ..Retrieve::default() };
        self.runtime.block_on(self.service.retrieve(&caller, ask)).unwrap()
    }

    /// Until the question's vector has come: it may come after the answer, and is there for the next one.
    #[track_caller]
    fn ask_by_meaning(&mut self, question: &str) {
        for _ in 0..LOOKS_MAX {
            if !self.ask(question).lexical_only {
                return;
            }
            self.pause();
        }
        panic!("words alone, still: {:?}", self.ask(question).notice);
    }

    fn pause(&self) {
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(30)).await });
    }

    fn status(&self) -> EmbeddingStatus {
        self.runtime.block_on(self.service.embedding_status()).unwrap()
    }

    /// Waits until the status is as it should be, and gives up after a time in which nothing more will happen.
    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&EmbeddingStatus) -> bool) -> EmbeddingStatus {
        for _ in 0..LOOKS_MAX {
            let status = self.status();
            if holds(&status) {
                return status;
            }
            self.pause();
        }
        panic!("never {what}: {:?}", self.status());
    }
}

/// One that a question is not long waited for, so that a gate that stays closed costs no time.
fn endpoint(host: &Host) -> Config {
    let mut config = Config::default();
    config.embedding.model = "http".to_owned();
    config.embedding.http_urls = host.url("/v1");
    config.embedding.http_model = "m".to_owned();
    config.embedding.http_timeout_ms = 20_000;
    config.embedding.wait_ms = 50;
    config
}

/// An endpoint that answers while its gate is open, and otherwise keeps everybody waiting. Texts of its own
/// calibration pass at all times.
fn gated() -> (Host, Arc<AtomicBool>) {
    let gate = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&gate);
    let host = Host::new(move |_, sent, stream| {
        let waits = sent.texts().iter().any(|text| text.contains("turtle"));
        while waits && !opened.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = stream.write_all(vectors(sent, letters).as_bytes());
    });
    (host, gate)
}

#[test]
fn a_store_waits_for_no_vector_and_words_find_it_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (host, gate) = gated();
    let mut world = World::open(folder.path(), endpoint(&host));
    world.store("The turtle sleeps in the pond.");
    let status = world.until("one pending", |status| status.pending == 1 && status.serving.is_some());
    assert_eq!((status.vectors, status.wanted.as_str()), (0, "http"));
    let found = world.ask("where does the turtle sleep?");
    assert_eq!(found.hits.len(), 1, "by its words");
    assert!(found.lexical_only);
    assert!(found.notice.is_some_and(|notice| notice.contains("words alone")), "and the answer says so");
    gate.store(true, Ordering::SeqCst);
    let status = world.until("complete", |status| status.pending == 0);
    assert_eq!((status.vectors, status.problem), (1, None));
    world.ask_by_meaning("where does the turtle rest?");
}

#[test]
fn a_new_model_serves_when_it_is_complete_and_the_old_one_until_then() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::open(folder.path(), Config::default());
    for number in 0..40 {
        world.store(&format!("The turtle number {number} sleeps in the pond."));
    }
    world.until("the built-in one complete", |status| status.vectors == 40 && status.pending == 0);
    let (host, gate) = gated();
    world.config.send_replace(Arc::new(endpoint(&host)));
    let status = world.until("the endpoint wanted", |status| status.wanted == "http");
    assert_eq!((status.serving.as_deref(), status.pending), (Some("builtin"), 40));
    assert!(!world.ask("where do turtles rest?").lexical_only, "the old vectors answer");
    gate.store(true, Ordering::SeqCst);
    world.until("the endpoint serves", |status| status.serving.as_deref() == Some("http") && status.pending == 0);
    let kept = || std::fs::read_dir(folder.path().join("vectors")).unwrap().count();
    // It serves before that, lest nobody did.
    world.until("the old vectors let go", |_| kept() == 1);
    world.ask_by_meaning("where do turtles rest at night?");
}

#[test]
fn embedding_that_was_interrupted_goes_on_and_nothing_is_embedded_twice() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::new(|number, sent, stream| {
        // It dies after a few batches, for good.
        let said = if number < 8 { vectors(sent, letters) } else { reply("500 Broken", "", "") };
        let _ = stream.write_all(said.as_bytes());
    });
    let mut world = World::open(folder.path(), endpoint(&host));
    for number in 0..100 {
        world.store(&format!("The turtle number {number} sleeps in the pond."));
    }
    let before = world.until("a problem", |status| status.problem.is_some() && status.vectors > 0).vectors;
    assert!(before < 100, "{before}");
    drop(world);

    let again = Host::new(|_, sent, stream| drop(stream.write_all(vectors(sent, letters).as_bytes())));
    let mut config = endpoint(&host);
    // The same model behind another address comes first in no id: the first address names the space.
    config.embedding.http_urls = format!("{},{}", host.url("/v1"), again.url("/v1"));
    let world = World::open(folder.path(), config);
    world.until("complete", |status| status.vectors == 100 && status.pending == 0);
    let asked: Vec<String> =
        again.seen().iter().flat_map(|sent| sent.texts()).filter(|it| it.contains("turtle")).collect();
    assert!(asked.len() <= 100 - before as usize, "{} texts were embedded, {before} had been", asked.len());
}

#[test]
fn an_endpoint_that_lies_is_a_problem_in_status_and_loses_nothing() {
    for lie in ["[1.0, null, 0.0, 0.0]", "[1.0]", "[1e999, 0.0, 0.0, 0.0]", "\"AAAA\""] {
        let folder = tempfile::tempdir().unwrap();
        let is_honest = Arc::new(AtomicBool::new(false));
        let honest = Arc::clone(&is_honest);
        let host = Host::new(move |_, sent, stream| {
            let is_ours = sent.texts().iter().any(|text| text.contains("turtle") || text.contains("short note"));
            let body = format!("{{\"data\": [{{\"index\": 0, \"embedding\": {lie}}}]}}");
            let said = match is_ours && !honest.load(Ordering::SeqCst) {
                true => reply("200 OK", "", &body),
                false => vectors(sent, letters),
            };
            let _ = stream.write_all(said.as_bytes());
        });
        let mut world = World::open(folder.path(), endpoint(&host));
        world.store("The turtle sleeps in the pond.");
        let status = world.until("a problem", |status| status.problem.is_some());
        assert_eq!((status.vectors, status.pending), (0, 1), "{lie}");
        assert_eq!(world.ask("where does the turtle sleep?").hits.len(), 1, "{lie}");
        is_honest.store(true, Ordering::SeqCst);
        world.config.send_replace(Arc::new(endpoint(&host)));
        world.until("mended", |status| status.vectors == 1 && status.problem.is_none());
    }
}

#[test]
fn a_text_that_comes_again_is_not_embedded_again_until_it_was_erased() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::new(|_, sent, stream| drop(stream.write_all(vectors(sent, letters).as_bytes())));
    let mut world = World::open(folder.path(), endpoint(&host));
    let times = |text: &str| host.seen().iter().flat_map(|sent| sent.texts()).filter(|it| it == text).count();
    let text = "The turtle sleeps in the pond.";
    let purge = |world: &mut World, id: String, depth| {
        let caller = world.caller();
        let ask = Purge { branch: None, target: PurgeTarget::Ids(vec![id]), depth, reason: None };
        world.runtime.block_on(world.service.purge(&caller, ask)).unwrap();
    };
    let first = world.store(text);
    world.until("one vector", |status| status.vectors == 1 && status.pending == 0);
    purge(&mut world, first.stored.memory.id.to_string(), Depth::State);
    let second = world.store(text);
    let status = world.until("two vectors", |status| status.vectors == 2 && status.pending == 0);
    assert_eq!((times(text), status.cache_hits), (1, 1), "the cache knew it");
    purge(&mut world, second.stored.memory.id.to_string(), Depth::Bytes);
    purge(&mut world, first.stored.memory.id.to_string(), Depth::Bytes);
    world.store(text);
    world.until("embedded anew", |status| status.vectors == 1 && status.pending == 0);
    assert_eq!(times(text), 2, "nothing of what was erased was left in the cache");
}

#[test]
fn a_model_that_is_missing_is_named_and_the_built_in_one_stands_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.embedding.model = "/no/such/model".to_owned();
    let mut world = World::open(folder.path(), config);
    world.store("The turtle sleeps in the pond.");
    let status = world.until("a vector", |status| status.problem.is_some() && status.serving.is_some());
    assert_eq!(status.serving.as_deref(), Some("builtin"));
    assert!(status.problem.is_some_and(|problem| problem.contains("/no/such/model")));
    assert!(!world.ask("where does the turtle rest?").lexical_only);
}
