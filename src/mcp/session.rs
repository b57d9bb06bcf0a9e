//! One agent's session: each of its lines gets exactly one answer, in any order, many at a time. The future of a
//! line does its work itself; there is no task behind it. It never blocks, and never touches the store.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;

use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::message::{self, Code, Failure, Fault, Message, Outcome};
use super::server::{self, Agent, Version};
use super::{Answer, Backend, Profile};
use crate::error::Error;
use crate::model::OpId;
use crate::wire::limits;
use crate::wire::message::Keep;

/// Messages in one batch (a JSON array, which protocol 2025-03-26 allows): they run at once, like requests.
const BATCH_MESSAGES_MAX: usize = limits::IN_FLIGHT_MAX;

type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;
type Call = Box<dyn Fn(OpId, String, Map<String, Value>, Version) -> Work + Send + Sync>;
/// Calls that are not answered yet, by the agent's id. A message tells a call that it is cancelled; when the sender
/// is dropped, the session has ended.
type Running = Mutex<HashMap<Value, oneshot::Sender<()>>>;

/// Ends when it is dropped: what is in flight is cancelled.
pub struct Session {
    call: Call,
    introduce: Box<dyn Fn(&Agent) + Send + Sync>,
    profile: Box<dyn Fn() -> Profile + Send + Sync>,
    running: Arc<Running>,
    known: Mutex<Known>,
}

/// What an agent is shown, and may have to ask for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// By another `mcp.profile`.
    Tools,
    /// By branches that came or went.
    Resources,
}

/// What the agent has said of itself.
struct Known {
    version: Version,
    /// It has said that it is ready, after `initialize`: from then on we may speak unasked.
    is_ready: bool,
    agent: Option<Agent>,
}

impl Session {
    /// Starts a session.
    pub fn start<B: Backend>(backend: B) -> Self {
        let (caller, shower) = (backend.clone(), backend.clone());
        Self {
            call: Box::new(move |op, method, params, version| {
                Box::pin(server::serve(caller.clone(), op, method, params, version))
            }),
            introduce: Box::new(move |agent| backend.agent(&agent.name, &agent.version)),
            profile: Box::new(move || shower.profile()),
            running: Arc::default(),
            known: Mutex::new(Known { version: server::NEWEST_WITH_INITIALIZE, is_ready: false, agent: None }),
        }
    }

    /// Takes one line, without its newline. What it says takes effect in the order of the calls (not of the
    /// polls), so a replayed `initialize` is known to whatever is sent after it.
    pub fn line(&self, op: OpId, line: Vec<u8>) -> impl Future<Output = Answer> + Send + use<> {
        let begun = self.begin(op, &line);
        async move {
            match begun {
                Begun::One(part) => part.answer().await,
                Begun::Batch(parts) => batch(parts).await,
            }
        }
    }

    fn begin(&self, op: OpId, line: &[u8]) -> Begun {
        if line.trim_ascii().is_empty() {
            return Begun::One(Part::Now(forget(None)));
        }
        let value = match std::str::from_utf8(line).map(serde_json::from_str::<Value>) {
            Err(_) => return wrong(Code::ParseError, "the line is not UTF-8"),
            Ok(Err(error)) => return wrong(Code::ParseError, format!("the line is not JSON: {error}")),
            Ok(Ok(value)) => value,
        };
        match value {
            Value::Array(batch) if batch.is_empty() || batch.len() > BATCH_MESSAGES_MAX => {
                let why = format!("a batch has 1 to {BATCH_MESSAGES_MAX} messages; send the rest on other lines");
                wrong(Code::InvalidRequest, why)
            }
            Value::Array(batch) => Begun::Batch(
                (0..).zip(batch).map(|(index, value)| self.part(numbered(op, index), value, true)).collect(),
            ),
            value => Begun::One(self.part(op, value, false)),
        }
    }

    fn part(&self, op: OpId, value: Value, is_in_batch: bool) -> Part {
        match message::judge(value) {
            Err(Fault { id, failure }) => answered(&id, &Err(failure)),
            Ok(Message::Reply) => Part::Now(forget(None)),
            Ok(Message::Notification { method, params }) => Part::Now(self.notified(&method, &params)),
            Ok(Message::Request { id, method, .. }) if is_in_batch && method == "initialize" => {
                let why = "`initialize` is sent alone, not in a batch";
                answered(&id, &Err(Failure::new(Code::InvalidRequest, why)))
            }
            Ok(Message::Request { id, method, params }) => self.requested(op, id, &method, params),
        }
    }

    fn requested(&self, op: OpId, id: Value, method: &str, params: Map<String, Value>) -> Part {
        let mut running = lock(&self.running);
        if running.contains_key(&id) {
            let why = "this id belongs to a request that is not answered yet: use a new one";
            return answered(&id, &Err(Failure::new(Code::InvalidRequest, why)));
        }
        if method == "initialize" {
            return match server::initialize(&params) {
                Err(failure) => answered(&id, &Err(failure)),
                Ok((agent, version)) => {
                    self.meet(agent);
                    lock(&self.known).version = version;
                    let line = Some(message::line(&id, &server::greeting(version)));
                    Part::Now(Answer { line, keep: Keep::ForReplay })
                }
            };
        }
        let agreed = lock(&self.known).version;
        let (version, agent) = match server::context(method, &params, agreed) {
            Err(failure) => return answered(&id, &Err(failure)),
            Ok(context) => context,
        };
        if let Some(agent) = agent {
            self.meet(agent);
        }
        if !server::asks_backend(method) {
            return answered(&id, &server::answer(method, &params, version, (self.profile)()));
        }
        let (cancel, ended) = oneshot::channel();
        running.insert(id.clone(), cancel);
        let flight = Flight { id, ended, running: Arc::downgrade(&self.running) };
        let is_tool = method == "tools/call";
        Part::Later { flight, work: (self.call)(op, method.to_owned(), params, version), version, is_tool }
    }

    /// `notifications/cancelled` takes effect; the rest tells us nothing that we need.
    fn notified(&self, method: &str, params: &Map<String, Value>) -> Answer {
        if method == "notifications/cancelled"
            && let Some(cancel) = params.get("requestId").and_then(|id| lock(&self.running).remove(id))
        {
            // Nobody listens any more when the call has just ended by itself.
            let _ = cancel.send(());
        }
        let is_ready = method == "notifications/initialized";
        lock(&self.known).is_ready |= is_ready;
        let keep = if is_ready { Keep::ForReplay } else { Keep::Forget };
        Answer { line: None, keep }
    }

    /// The line that tells the agent to ask for a list again; `None` before it is ready to hear anything.
    pub fn changed(&self, list: List) -> Option<Vec<u8>> {
        let method = match list {
            List::Tools => "notifications/tools/list_changed",
            List::Resources => "notifications/resources/list_changed",
        };
        lock(&self.known).is_ready.then(|| message::notification(method))
    }

    /// Tells the backend who the agent is, once, and when it changes.
    fn meet(&self, agent: Agent) {
        let known = &mut lock(&self.known).agent;
        if known.as_ref() != Some(&agent) {
            (self.introduce)(&agent);
            *known = Some(agent);
        }
    }
}

enum Begun {
    One(Part),
    Batch(Vec<Part>),
}

enum Part {
    Now(Answer),
    Later { flight: Flight, work: Work, version: Version, is_tool: bool },
}

impl Part {
    async fn answer(self) -> Answer {
        let (mut flight, work, version, is_tool) = match self {
            Self::Now(answer) => return answer,
            Self::Later { flight, work, version, is_tool } => (flight, work, version, is_tool),
        };
        let outcome = tokio::select! {
            biased;
            ended = &mut flight.ended => match ended {
                Ok(()) => return forget(None),
                Err(_) => {
                    let why = "the session has ended before this was answered; send it again";
                    Err(Failure::new(Code::InternalError, why))
                }
            },
            outcome = guarded(work, version, is_tool) => outcome,
        };
        forget(Some(message::line(&flight.id, &outcome)))
    }
}

/// A panic is this call's error and nobody else's.
async fn guarded(mut work: Work, version: Version, is_tool: bool) -> Outcome {
    std::future::poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))).unwrap_or_else(|_| {
            let why = "the daemon failed on this request. See `memoria logs`, then try again.";
            Poll::Ready(match is_tool {
                true => Ok(server::result(Err(Error::internal(why)), version)),
                false => Err(Failure::new(Code::InternalError, why)),
            })
        })
    })
    .await
}

/// All at once; the answers are in the order of the messages.
async fn batch(parts: Vec<Part>) -> Answer {
    let mut tasks = JoinSet::new();
    for (index, part) in parts.into_iter().enumerate() {
        tasks.spawn(async move { (index, part.answer().await.line) });
    }
    let mut answers = tasks.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    let lines: Vec<_> = answers.into_iter().filter_map(|(_, line)| line).collect();
    forget((!lines.is_empty()).then(|| [b"[", lines.join(&b","[..]).as_slice(), b"]"].concat()))
}

/// A call that is not answered yet.
struct Flight {
    id: Value,
    ended: oneshot::Receiver<()>,
    running: Weak<Running>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.ended.close();
        let Some(running) = self.running.upgrade() else { return };
        let mut running = lock(&running);
        // Once it is cancelled its id may be another call's, which listens.
        if running.get(&self.id).is_some_and(oneshot::Sender::is_closed) {
            running.remove(&self.id);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn forget(line: Option<Vec<u8>>) -> Answer {
    Answer { line, keep: Keep::Forget }
}

fn answered(id: &Value, outcome: &Outcome) -> Part {
    Part::Now(forget(Some(message::line(id, outcome))))
}

fn wrong(code: Code, why: impl Into<String>) -> Begun {
    Begun::One(answered(&Value::Null, &Err(Failure::new(code, why))))
}

/// The calls of a batch are operations of their own: the line's number with the place in the batch above it.
fn numbered(op: OpId, index: u64) -> OpId {
    OpId { line: op.line | index << 48, ..op }
}
