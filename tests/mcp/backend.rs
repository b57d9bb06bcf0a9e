//! A backend in memory: it keeps what it was asked, and answers like a store of a handful of memories.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use memoria::error::{Error, Result};
use memoria::mcp::{Answer, Backend, Profile, Session};
use memoria::model::{CommitId, Kind, Memory, MemoryId, Name, OpId, Origin, Source, Time, Trust, VersionId};
use memoria::wire::message::{
    Blamed, Corrected, Hit, Listed, Point, PurgeTarget, Purged, Request, Response, Retrieved, Shaped, Shown, Stored,
};
use serde_json::Value;
use tokio::sync::Notify;

use crate::samples;

#[derive(Clone, Default)]
pub struct Fake(pub Arc<Inner>);

#[derive(Default)]
pub struct Inner {
    pub asked: Mutex<Vec<(OpId, Request)>>,
    pub agents: Mutex<Vec<(String, String)>>,
    pub memories: Mutex<Vec<Memory>>,
    /// Given to whatever is asked, where a test has put one here.
    pub canned: Mutex<Option<Response>>,
    pub shows_all: AtomicBool,
    /// What a text that begins with "wait" waits for.
    pub gate: Notify,
    pub running: AtomicUsize,
    pub dropped: AtomicUsize,
}

pub fn memory(text: &str) -> Memory {
    Memory {
        id: MemoryId::random(),
        kind: Kind::Semantic,
        text: text.to_owned(),
        tags: BTreeSet::new(),
        trust: Trust::T3,
        confidence: Trust::T3.initial_confidence(),
        project: None,
        session: None,
        subject: None,
        origin: Origin {
            source: Source::Agent,
            agent: Some("tester".to_owned()),
            agent_version: None,
            session: None,
            tool: None,
            file: None,
        },
        created_at: Time(1_790_000_000_000),
        observed_at: Time(1_790_000_000_000),
        expires_at: None,
        pinned: false,
        metadata: String::new(),
    }
}

pub fn shaped(memory: Memory) -> Shaped {
    let (confidence, feedback) = (memory.confidence, Default::default());
    Shaped { memory, version: VersionId([7; 32]), short_len: 8, flags: Vec::new(), confidence, feedback }
}

/// Counts a call that was given up before it was done.
struct Running(Arc<Inner>, bool);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        if !self.1 {
            self.0.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Backend for Fake {
    async fn call(&self, op: OpId, request: Request) -> Result<Response> {
        self.0.asked.lock().unwrap().push((op, request.clone()));
        self.0.running.fetch_add(1, Ordering::SeqCst);
        let mut running = Running(self.0.clone(), false);
        let response = self.answer(request).await;
        running.1 = true;
        response
    }

    fn profile(&self) -> Profile {
        if self.0.shows_all.load(Ordering::SeqCst) { Profile::Full } else { Profile::Core }
    }

    fn agent(&self, name: &str, version: &str) {
        self.0.agents.lock().unwrap().push((name.to_owned(), version.to_owned()));
    }
}

impl Fake {
    async fn answer(&self, request: Request) -> Result<Response> {
        let canned = self.0.canned.lock().unwrap().clone();
        if let Some(canned) = canned {
            return Ok(canned);
        }
        match request {
            Request::Store(store) if store.text == "panic" => panic!("a fault of the backend"),
            Request::Store(store) if store.text == "full" => Err(Error::full("The disk is full. Make room.")),
            Request::Store(store) => {
                if store.text.starts_with("wait") {
                    self.0.gate.notified().await;
                }
                let mut memory = memory(&store.text);
                memory.metadata = store.metadata;
                memory.tags = store.tags.into_iter().collect();
                self.0.memories.lock().unwrap().push(memory.clone());
                Ok(Response::Stored(Stored {
                    branch: Name::main(),
                    stored: shaped(memory),
                    is_duplicate: false,
                    similar: Vec::new(),
                    masked: Vec::new(),
                    commit: None,
                    waits: None,
                }))
            }
            Request::Retrieve(_) => {
                let memories = self.0.memories.lock().unwrap().clone();
                let hits = memories
                    .into_iter()
                    .map(|memory| Hit {
                        memory: shaped(memory),
                        score: 0.5,
                        parts: None,
                        is_shortened: false,
                        twins: Vec::new(),
                        beside: Vec::new(),
                    })
                    .collect();
                Ok(Response::Retrieved(Retrieved {
                    point: point(),
                    hits,
                    left_out: 2,
                    lexical_only: true,
                    notice: None,
                }))
            }
            Request::List(list) => {
                let memories = self.0.memories.lock().unwrap().clone();
                let total = memories.len() as u32;
                let page = memories.into_iter().skip(list.page.offset as usize).take(list.page.limit as usize);
                Ok(Response::Listed(Listed { point: point(), memories: page.map(shaped).collect(), total }))
            }
            Request::Correct(correct) => Ok(Response::Corrected(Corrected {
                branch: Name::main(),
                memory: shaped(memory(&correct.text)),
                before: "what it said".to_owned(),
                is_unchanged: false,
                masked: Vec::new(),
                commit: None,
                before_flags: Vec::new(),
            })),
            Request::Purge(purge) => {
                let missing = match purge.target {
                    PurgeTarget::Ids(ids) => ids,
                    _ => Vec::new(),
                };
                Ok(Response::Purged(Purged {
                    branch: Name::main(),
                    safety: None,
                    erased_versions: 0,
                    erased_memories: 0,
                    removed: vec![shaped(memory("gone"))],
                    removed_total: 1,
                    missing,
                    commit: None,
                    masked: Vec::new(),
                }))
            }
            Request::Branch(_) | Request::Checkout(_) => Ok(Response::Branches(samples::branches())),
            Request::Snapshot(_) => Ok(Response::Snapshots(samples::snapshots())),
            Request::Diff(_) => Ok(Response::Diffed(Box::new(samples::diffed()))),
            Request::Profile(_) => Ok(Response::Profiled(samples::profiled())),
            Request::Feedback(_) => Ok(Response::Rated(samples::rated())),
            Request::Log(_) => Ok(Response::Logged(samples::logged())),
            Request::Blame(_) => Ok(Response::Blamed(Box::new(samples::blamed()))),
            Request::Merge(_)
            | Request::Resolve(_)
            | Request::Pick(_)
            | Request::Apply(_)
            | Request::Rollback(_)
            | Request::Revert(_)
            | Request::Undo(_) => Ok(Response::Moved(Box::new(samples::moved()))),
            Request::Show(_) => {
                let Blamed { memory, is_live, history, history_total } = samples::blamed();
                Ok(Response::Shown(Box::new(Shown { memory, is_live, history, history_total })))
            }
            Request::Brief(_) => Ok(Response::Briefed(Box::new(samples::briefed()))),
            _ => Err(Error::internal("not asked for here")),
        }
    }
}

/// A session with its backend and a counter of lines.
pub struct Agent {
    pub session: Session,
    pub backend: Fake,
    lines: Mutex<u64>,
}

impl Agent {
    pub fn start() -> Self {
        let backend = Fake::default();
        Self { session: Session::start(backend.clone()), backend, lines: Mutex::new(0) }
    }

    pub fn send<L: Into<Vec<u8>>>(&self, line: L) -> impl Future<Output = Answer> + Send + use<L> {
        let mut lines = self.lines.lock().unwrap();
        *lines += 1;
        self.session.line(OpId { nonce: [9; 16], line: *lines }, line.into())
    }

    /// The answer to a message, as JSON.
    pub async fn ask(&self, message: Value) -> Value {
        let answer = self.send(message.to_string()).await;
        serde_json::from_slice(&answer.line.expect("an answer")).expect("JSON")
    }

    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        let params = serde_json::json!({ "name": tool, "arguments": arguments });
        let mut answer = self
            .ask(serde_json::json!({ "jsonrpc": "2.0", "id": "call", "method": "tools/call", "params": params }))
            .await;
        answer["result"].take()
    }

    /// `initialize` and `notifications/initialized` at a protocol version; the result of the former.
    pub async fn greet(&self, version: &str) -> Value {
        let params = serde_json::json!({
            "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "tester", "version": "1.2" },
        });
        let mut answer =
            self.ask(serde_json::json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params })).await;
        self.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        answer["result"].take()
    }
}

pub fn point() -> Point {
    Point { commit: CommitId([5; 32]), name: Some(Name::main()), at: Time(0), live: 1 }
}
