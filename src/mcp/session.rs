//! One agent's session: each of its lines gets exactly one answer, in any order, many at a time.
//! Requests travel through the SDK's loop under numbers of our own, so that whatever an agent uses as an id
//! comes back as it was. It never blocks, and never touches the store.

use std::any::Any;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::{
    CancelledNotification, CancelledNotificationParam, ClientJsonRpcMessage, NumberOrString, ServerJsonRpcMessage,
};
use rmcp::service::serve_directly;
use rmcp::transport::Transport;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use super::message::{self, Fault, Message};
use super::server::Server;
use super::{Answer, Backend};
use crate::model::OpId;
use crate::model::text::one_line;
use crate::wire::limits;
use crate::wire::message::Keep;

/// Messages in one batch (a JSON array, which protocol 2025-03-26 allows): they run at once, like requests.
const BATCH_MESSAGES_MAX: usize = limits::IN_FLIGHT_MAX;

type Introduce = Box<dyn Fn(&str, &str) + Send + Sync>;

/// Ends when it is dropped: what is in flight is cancelled.
pub struct Session {
    to_server: mpsc::UnboundedSender<ClientJsonRpcMessage>,
    waiting: Waiting,
    serial: AtomicI64,
    introduce: Introduce,
    agent: Mutex<Option<(String, String)>>,
    /// Cancels the SDK's loop when dropped.
    _service: Box<dyn Any + Send + Sync>,
}

/// Lines that wait for their answers, by our number.
#[derive(Clone, Default)]
struct Waiting(Arc<Mutex<HashMap<i64, Pending>>>);

struct Pending {
    id: Value,
    keep: Keep,
    answer: oneshot::Sender<Answer>,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Pending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Starts a session on the current runtime. Lines that answer nothing (our own notifications) go to `events`.
    pub fn start<B: Backend>(backend: B, events: mpsc::Sender<Vec<u8>>) -> Self {
        // Unbounded, because it holds no more than the lines in flight, whose number the daemon limits.
        let (to_server, from_agent) = mpsc::unbounded_channel();
        let waiting = Waiting::default();
        let introduce = {
            let backend = backend.clone();
            Box::new(move |name: &str, version: &str| backend.agent(name, version))
        };
        let lines = Lines { from_agent, waiting: waiting.clone(), events };
        let service = serve_directly(Server::new(backend), lines, None);
        Self {
            to_server,
            waiting,
            serial: AtomicI64::new(0),
            introduce,
            agent: Mutex::default(),
            _service: Box::new(service),
        }
    }

    /// Takes one line, without its newline. What it says takes effect in the order of the calls (not of the
    /// polls), so a replayed `initialize` is known to whatever is sent after it.
    pub fn line(&self, op: OpId, line: Vec<u8>) -> impl Future<Output = Answer> + Send + use<> {
        let begun = self.begin(op, &line);
        async move {
            match begun {
                Begun::One(part) => part.answer().await,
                Begun::Batch(parts) => {
                    let mut lines = Vec::new();
                    for part in parts {
                        lines.extend(part.answer().await.line);
                    }
                    if lines.is_empty() {
                        return forget(None);
                    }
                    forget(Some([b"[", lines.join(&b","[..]).as_slice(), b"]"].concat()))
                }
            }
        }
    }

    fn begin(&self, op: OpId, line: &[u8]) -> Begun {
        if line.trim_ascii().is_empty() {
            return Begun::One(Part::Now(forget(None)));
        }
        let value = match std::str::from_utf8(line).map(serde_json::from_str::<Value>) {
            Err(_) => return Begun::One(wrong(ErrorData::parse_error("the line is not UTF-8", None))),
            Ok(Err(error)) => {
                return Begun::One(wrong(ErrorData::parse_error(format!("the line is not JSON: {error}"), None)));
            }
            Ok(Ok(value)) => value,
        };
        match value {
            Value::Array(batch) if batch.is_empty() || batch.len() > BATCH_MESSAGES_MAX => {
                let why = format!("a batch has 1 to {BATCH_MESSAGES_MAX} messages; send the rest on other lines");
                Begun::One(wrong(ErrorData::invalid_request(why, None)))
            }
            Value::Array(batch) => Begun::Batch(
                (0..).zip(batch).map(|(index, value)| self.part(numbered(op, index), value, true)).collect(),
            ),
            value => Begun::One(self.part(op, value, false)),
        }
    }

    fn part(&self, op: OpId, value: Value, is_in_batch: bool) -> Part {
        match message::judge(value) {
            Err(fault) => (*fault).into(),
            Ok(Message::Reply) => Part::Now(forget(None)),
            Ok(Message::Notification { method, params }) => Part::Now(self.notified(&method, &params)),
            Ok(Message::Request { id, method, params }) => {
                if is_in_batch && method == "initialize" {
                    let error = ErrorData::invalid_request("`initialize` is sent alone, not in a batch", None);
                    return Fault { id, error }.into();
                }
                self.requested(op, id, &method, params)
            }
        }
    }

    fn requested(&self, op: OpId, id: Value, method: &str, params: Map<String, Value>) -> Part {
        self.meet(method, &params);
        let request = match message::request(method, params, op) {
            Ok(request) => request,
            Err(error) => return Fault { id, error }.into(),
        };
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let keep = if method == "initialize" { Keep::ForReplay } else { Keep::Forget };
        {
            let mut waiting = self.waiting.lock();
            if waiting.values().any(|pending| pending.id == id) {
                let why = "this id belongs to a request that is not answered yet: use a new one";
                return Fault { id, error: ErrorData::invalid_request(why, None) }.into();
            }
            waiting.insert(serial, Pending { id: id.clone(), keep, answer });
        }
        let sent = self.to_server.send(ClientJsonRpcMessage::request(request, NumberOrString::Number(serial)));
        let flight = Flight { serial, waiting: self.waiting.clone(), to_server: self.to_server.clone() };
        match sent {
            Ok(()) => Part::Later { id, answered, _flight: flight },
            Err(_) => Fault { id, error: ended() }.into(),
        }
    }

    /// `notifications/cancelled` takes effect; the rest tells us nothing that we need.
    fn notified(&self, method: &str, params: &Map<String, Value>) -> Answer {
        if method == "notifications/cancelled" {
            let wanted = params.get("requestId");
            let mut waiting = self.waiting.lock();
            let found = waiting.iter().find(|(_, pending)| Some(&pending.id) == wanted).map(|(serial, _)| *serial);
            if let Some(serial) = found {
                if let Some(pending) = waiting.remove(&serial) {
                    let _ = pending.answer.send(forget(None));
                }
                cancel(&self.to_server, serial);
            }
        }
        let keep = if method == "notifications/initialized" { Keep::ForReplay } else { Keep::Forget };
        Answer { line: None, keep }
    }

    /// Tells the backend who the agent is: from `initialize`, or from any request's metadata.
    fn meet(&self, method: &str, params: &Map<String, Value>) {
        let info = match method {
            "initialize" => params.get("clientInfo"),
            _ => params.get("_meta").and_then(|meta| meta.get("io.modelcontextprotocol/clientInfo")),
        };
        let text = |key| info.and_then(|info| info.get(key)).and_then(Value::as_str);
        let Some(name) = text("name") else { return };
        let met = (one_line(name, 80), one_line(text("version").unwrap_or_default(), 40));
        let mut agent = self.agent.lock().unwrap_or_else(PoisonError::into_inner);
        if agent.as_ref() != Some(&met) {
            (self.introduce)(&met.0, &met.1);
            *agent = Some(met);
        }
    }
}

enum Begun {
    One(Part),
    Batch(Vec<Part>),
}

enum Part {
    Now(Answer),
    Later { id: Value, answered: oneshot::Receiver<Answer>, _flight: Flight },
}

impl Part {
    async fn answer(self) -> Answer {
        match self {
            Self::Now(answer) => answer,
            Self::Later { id, answered, _flight } => {
                answered.await.unwrap_or_else(|_| forget(Some(message::failure(&id, &ended()))))
            }
        }
    }
}

impl From<Fault> for Part {
    fn from(fault: Fault) -> Self {
        Self::Now(forget(Some(message::failure(&fault.id, &fault.error))))
    }
}

/// Cancels the request when nobody waits for its answer any more.
struct Flight {
    serial: i64,
    waiting: Waiting,
    to_server: mpsc::UnboundedSender<ClientJsonRpcMessage>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.waiting.lock().remove(&self.serial).is_some() {
            cancel(&self.to_server, self.serial);
        }
    }
}

fn cancel(to_server: &mpsc::UnboundedSender<ClientJsonRpcMessage>, serial: i64) {
    let params = CancelledNotificationParam::new(Some(NumberOrString::Number(serial)), None);
    // A closed channel means that everything is cancelled already.
    let _ = to_server.send(ClientJsonRpcMessage::notification(CancelledNotification::new(params).into()));
}

fn forget(line: Option<Vec<u8>>) -> Answer {
    Answer { line, keep: Keep::Forget }
}

fn wrong(error: ErrorData) -> Part {
    Fault { id: Value::Null, error }.into()
}

fn ended() -> ErrorData {
    ErrorData::internal_error("the session has ended before this was answered; send it again", None)
}

/// The calls of a batch are operations of their own: the line's number with the place in the batch above it.
fn numbered(op: OpId, index: u64) -> OpId {
    OpId { line: op.line | index << 48, ..op }
}

/// The SDK's transport: messages come from the session, answers go to the lines that wait for them.
struct Lines {
    from_agent: mpsc::UnboundedReceiver<ClientJsonRpcMessage>,
    waiting: Waiting,
    events: mpsc::Sender<Vec<u8>>,
}

impl Transport<RoleServer> for Lines {
    type Error = Infallible;

    fn send(&mut self, item: ServerJsonRpcMessage) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        let serial = match &item {
            ServerJsonRpcMessage::Response(response) => Some(&response.id),
            ServerJsonRpcMessage::Error(error) => error.id.as_ref(),
            _ => None,
        };
        let mut event = None;
        if let Some(NumberOrString::Number(serial)) = serial {
            // Nobody waits for a cancelled request.
            if let Some(Pending { id, keep, answer }) = self.waiting.lock().remove(serial) {
                let _ = answer.send(match &item {
                    ServerJsonRpcMessage::Response(response) => {
                        Answer { line: Some(message::response(&id, &response.result)), keep }
                    }
                    ServerJsonRpcMessage::Error(error) => forget(Some(message::failure(&id, &error.error))),
                    _ => forget(None),
                });
            }
        } else {
            event = Some((self.events.clone(), message::bytes(&item)));
        }
        async move {
            if let Some((events, line)) = event {
                let _ = events.send(line).await;
            }
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<rmcp::model::ClientJsonRpcMessage> {
        self.from_agent.recv().await
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        self.waiting.lock().clear();
        Ok(())
    }
}
