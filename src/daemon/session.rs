//! One client's connection, from Hello to its end. Many requests are in flight at once; a request that panics ends
//! alone, and a client that does not read its answers holds up nobody but itself.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::timeout;

use super::drain::Why;
use super::house::{House, Seat};
use super::status::status;
use crate::clock;
use crate::config::Profile;
use crate::error::{Error, Result};
use crate::mcp;
use crate::model::{OpId, SessionId, id};
use crate::service::Caller;
use crate::wire::hello::{self, Greeting, Hello, Role, await_hello};
use crate::wire::limits::{
    ACKNOWLEDGED_MAX, IN_FLIGHT_BYTES_MAX, IN_FLIGHT_MAX, OPEN_WITHIN, REPLY_BYTES_MAX, REQUEST_BYTES_MAX,
    SESSION_WAIT, SESSIONS_MAX, WRITE_WITHIN,
};
use crate::wire::message::{
    Ask, Brief, ClientKind, Envelope, Open, Opened, Request, Response, SessionStatus, StopReason, ToClient, ToDaemon,
};
use crate::wire::socket::{self, Stream};
use crate::wire::{codec, frame};

/// Serves one connection to its end.
pub async fn serve(stream: Stream, house: Arc<House>, handshake: tokio::sync::OwnedSemaphorePermit) {
    match begin(stream, &house).await {
        Ok(begun) => {
            drop(handshake);
            begun.run().await;
        }
        // Nothing was asked yet: nobody but the client can have done this.
        Err(error) => tracing::debug!("a client was turned away: {error}"),
    }
}

/// Everything up to the answer to `Open`.
async fn begin(mut stream: Stream, house: &Arc<House>) -> Result<Session> {
    let own = Hello::own(Role::Daemon);
    if let Err(error) = greet(&mut stream, own).await {
        let _ = timeout(OPEN_WITHIN, stream.write_all(&hello::refusal(own, &error.message))).await;
        return Err(error);
    }
    let place = match timeout(SESSION_WAIT, Arc::clone(&house.places).acquire_owned()).await {
        Ok(Ok(place)) => place,
        _ => {
            let why = format!("the daemon serves its limit of {SESSIONS_MAX} sessions: close some agents");
            let _ = timeout(OPEN_WITHIN, stream.write_all(&hello::refusal(own, &why))).await;
            return Err(Error::unavailable(why));
        }
    };
    let (reader, mut writer) = tokio::io::split(stream);
    writer.write_all(&own.to_bytes(Greeting::Ack)).await.map_err(|e| Error::io("answer a Hello", &e))?;
    let mut incoming = frame::Incoming::start::<ReadHalf<Stream>>(reader, REQUEST_BYTES_MAX);
    let first = timeout(OPEN_WITHIN, incoming.next())
        .await
        .map_err(|_| Error::protocol("a client said Hello and then nothing"))??
        .ok_or_else(|| Error::protocol("a client left after its Hello"))?;
    let Envelope { serial, body: ToDaemon::Open(open) } = codec::decode(&first)? else {
        return Err(Error::protocol("a client asked before it opened its session"));
    };
    let (replies, to_write) = mpsc::channel(IN_FLIGHT_MAX);
    let session = Session::new(house, open, incoming, replies, tokio::spawn(write(writer, to_write)), place)?;
    let opened =
        Opened { session: session.session.clone(), version: env!("CARGO_PKG_VERSION").to_owned(), pid: own.pid };
    reply(&session.replies, serial, ToClient::Opened(opened)).await;
    Ok(session)
}

async fn greet(stream: &mut Stream, own: Hello) -> Result<()> {
    socket::check_peer(stream).map_err(|e| Error::io("tell who is at the other end", &e))??;
    let client = await_hello(stream).await?;
    if client.major != own.major {
        return Err(Error::protocol(hello::mismatch(own, client)));
    }
    Ok(())
}

struct Session {
    house: Arc<House>,
    session: SessionId,
    open: Open,
    seat: Arc<Seat>,
    incoming: frame::Incoming,
    replies: mpsc::Sender<Vec<u8>>,
    writer: JoinHandle<()>,
    /// A request holds one of these until its reply is on its way: so what waits in memory is bounded.
    in_flight: Arc<Semaphore>,
    /// And one of these for each KiB of it.
    room: Arc<Semaphore>,
    running: HashMap<u32, AbortHandle>,
    /// Only agents speak JSON-RPC: begun with the first line.
    agent: Option<mcp::Session>,
    _place: tokio::sync::OwnedSemaphorePermit,
}

impl Session {
    fn new(
        house: &Arc<House>,
        open: Open,
        incoming: frame::Incoming,
        replies: mpsc::Sender<Vec<u8>>,
        writer: JoinHandle<()>,
        place: tokio::sync::OwnedSemaphorePermit,
    ) -> Result<Self> {
        let session = match open.client {
            ClientKind::Shim => SessionId::new(id::hex(&open.nonce[..6]))?,
            ClientKind::Cli => SessionId::new("cli")?,
        };
        let branch = house.dispatch.branch_of(&session, open.project.as_ref());
        let now = clock::now();
        let seat = Arc::new(house.seat(SessionStatus {
            session: session.clone(),
            client: open.client,
            agent: None,
            agent_version: None,
            project: open.project.clone(),
            branch,
            pid: open.pid,
            requests: 0,
            opened_at: now,
            last_seen: now,
        }));
        Ok(Self {
            house: Arc::clone(house),
            session,
            open,
            seat,
            incoming,
            replies,
            writer,
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            room: Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX >> 10)),
            running: HashMap::new(),
            agent: None,
            _place: place,
        })
    }

    fn begin_agent(&self) -> mcp::Session {
        let backend = Backend {
            house: Arc::clone(&self.house),
            seat: Arc::clone(&self.seat),
            session: self.session.clone(),
            open: Arc::new(self.open.clone()),
        };
        mcp::Session::start(backend)
    }

    async fn run(mut self) {
        if let Err(error) = self.converse().await {
            tracing::warn!("session {} was ended: {error}", self.session);
        }
        // Nobody waits for these any more. A write that is under way may still be applied; its id tells.
        for running in self.running.values() {
            running.abort();
        }
        let Self { writer, replies, agent, .. } = self;
        drop((replies, agent));
        // What is written already reaches the client; what cannot be written does not keep the daemon.
        let abort = writer.abort_handle();
        if timeout(OPEN_WITHIN, writer).await.is_err() {
            abort.abort();
        }
    }

    async fn converse(&mut self) -> Result<()> {
        let house = Arc::clone(&self.house);
        let (mut config, mut names) = (house.settings.config(), house.dispatch.names_changed());
        let mut profile = config.borrow_and_update().mcp.profile;
        loop {
            let next = tokio::select! {
                next = self.incoming.next() => next?,
                Ok(()) = config.changed() => {
                    let before = std::mem::replace(&mut profile, config.borrow_and_update().mcp.profile);
                    if before != profile {
                        self.tell(mcp::List::Tools);
                    }
                    continue;
                }
                Ok(()) = names.changed() => {
                    self.tell(mcp::List::Resources);
                    continue;
                }
                () = self.replies.closed() => return Ok(()),
                () = house.drain.is_over() => return Ok(()),
            };
            let Some(bytes) = next else { return Ok(()) };
            let Envelope { serial, body } = codec::decode(&bytes)?;
            match body {
                ToDaemon::Ask(ask) => self.take(serial, ask, bytes.len()).await,
                ToDaemon::Cancel(serial) => self.cancel(serial).await,
                ToDaemon::Acknowledge(ops) if ops.len() <= ACKNOWLEDGED_MAX => house.dispatch.acknowledge(ops),
                ToDaemon::Acknowledge(ops) => {
                    let why = format!("{} acknowledgements at once, {ACKNOWLEDGED_MAX} are allowed", ops.len());
                    return Err(Error::protocol(why));
                }
                ToDaemon::Goodbye => self.see_off(),
                ToDaemon::Open(_) => return Err(Error::protocol("a session was opened twice")),
            }
        }
    }

    /// Tells the agent to ask for a list again, when it comes to read; never holds up what it asks.
    fn tell(&self, list: mcp::List) {
        if let Some(line) = self.agent.as_ref().and_then(|agent| agent.changed(list)) {
            let replies = self.replies.clone();
            tokio::spawn(async move { reply(&replies, 0, ToClient::Line(line)).await });
        }
    }

    /// Begins a request, or waits until one of those in flight has been answered.
    async fn take(&mut self, serial: u32, ask: Ask, size_bytes: usize) {
        let house = Arc::clone(&self.house);
        let (in_flight, room) = (Arc::clone(&self.in_flight), Arc::clone(&self.room));
        let size_kb = size_bytes.div_ceil(1024) as u32;
        let permits = tokio::select! {
            permits = async { (in_flight.acquire_owned().await, room.acquire_many_owned(size_kb).await) } => permits,
            () = self.replies.closed() => return,
            () = house.drain.is_over() => return,
        };
        let Some(ticket) = house.drain.enter() else {
            let going = Error::shutting_down("the daemon is stopping: ask again, and a new one answers");
            return reply(&self.replies, serial, ToClient::Failed(going)).await;
        };
        if !ask.is_replay {
            self.seat.note(|session| {
                session.requests += 1;
                session.last_seen = clock::now();
            });
        }
        let work = self.work(ask);
        let replies = self.replies.clone();
        let task = tokio::spawn(async move {
            let answer = match guarded(work).await {
                Ok(response) => ToClient::Done(Box::new(response)),
                Err(error) => ToClient::Failed(error),
            };
            reply(&replies, serial, answer).await;
            drop((permits, ticket));
        });
        self.running.retain(|_, running| !running.is_finished());
        self.running.insert(serial, task.abort_handle());
    }

    /// Lines take effect in the order of their coming, so this is not put off to the request's own task.
    fn work(&mut self, ask: Ask) -> impl Future<Output = Result<Response>> + Send + use<> {
        let Ask { op, request, .. } = ask;
        let house = Arc::clone(&self.house);
        let caller = caller(&self.seat, &self.session, &self.open, op);
        let (line, request) = match request {
            Request::Mcp(line) => {
                let agent = self.agent.take().unwrap_or_else(|| self.begin_agent());
                (Some(self.agent.insert(agent).line(op, line)), None)
            }
            Request::Brief(ask) => (None, Some(Request::Brief(self.placed(ask)))),
            request => (None, Some(request)),
        };
        async move {
            match (line, request) {
                (Some(line), _) => {
                    let mcp::Answer { line, keep } = line.await;
                    Ok(Response::Mcp { line, keep })
                }
                (None, Some(Request::Status)) => Ok(Response::Status(Box::new(status(&house).await))),
                (None, Some(Request::Stop(reason))) => {
                    house.drain.begin(match reason {
                        StopReason::Stop => Why::Asked,
                        StopReason::HandOver => Why::HandOver,
                    });
                    Ok(Response::Stopping { pid: std::process::id() })
                }
                (None, Some(request)) => house.dispatch.call(&caller, request).await,
                (None, None) => Err(Error::internal("a request got lost")),
            }
        }
    }

    /// What a hook asks is for the agent that runs it, which is another session.
    fn placed(&self, ask: Brief) -> Brief {
        let of_agent = |agent: &String| self.house.branch_of_agent(agent, self.open.project.as_ref());
        let branch = match (&ask.branch, self.open.client) {
            (None, ClientKind::Cli) => ask.agent.as_ref().and_then(of_agent),
            (given, _) => given.clone(),
        };
        Brief { branch, ..ask }
    }

    /// The agent is gone for good. Its connection ends with this: what is left to do goes on without it.
    fn see_off(&self) {
        let house = Arc::clone(&self.house);
        let Some(ticket) = house.drain.enter() else { return };
        let op = OpId { nonce: self.open.nonce, line: u64::MAX };
        let caller = caller(&self.seat, &self.session, &self.open, op);
        tokio::spawn(async move {
            house.dispatch.end(&caller).await;
            drop(ticket);
        });
    }

    async fn cancel(&mut self, serial: u32) {
        if let Some(running) = self.running.remove(&serial)
            && !running.is_finished()
        {
            running.abort();
            let cancelled = Error::cancelled("the request was cancelled; a write may have been applied");
            reply(&self.replies, serial, ToClient::Failed(cancelled)).await;
        }
    }
}

/// A panic is one request's problem: it becomes that request's error.
async fn guarded<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))).unwrap_or_else(|_| {
            let why = "a fault of Memoria's ended this request, and only this one: `memoria logs` has more";
            std::task::Poll::Ready(Err(Error::internal(why)))
        })
    })
    .await
}

/// Queues a reply; waits while this client is slow.
async fn reply(replies: &mpsc::Sender<Vec<u8>>, serial: u32, body: ToClient) {
    let encoded = frame::encode(&Envelope { serial, body }, REPLY_BYTES_MAX);
    let bytes =
        encoded.or_else(|error| frame::encode(&Envelope { serial, body: ToClient::Failed(error) }, REPLY_BYTES_MAX));
    match bytes {
        // Closed: the client is gone, and with it whoever waited.
        Ok(bytes) => drop(replies.send(bytes).await),
        Err(error) => tracing::error!("a reply was lost: {error}"),
    }
}

/// Writes replies in the order of their coming, until the client is gone or stops reading.
async fn write(mut to: WriteHalf<Stream>, mut replies: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = replies.recv().await {
        match timeout(WRITE_WITHIN, to.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    }
}

fn caller(seat: &Seat, session: &SessionId, open: &Open, op: OpId) -> Caller {
    let known = seat.session();
    let (agent, agent_version) = known.map(|known| (known.agent, known.agent_version)).unwrap_or_default();
    Caller { session: session.clone(), client: open.client, agent, agent_version, project: open.project.clone(), op }
}

/// What an agent's tools reach.
#[derive(Clone)]
struct Backend {
    house: Arc<House>,
    seat: Arc<Seat>,
    session: SessionId,
    open: Arc<Open>,
}

impl mcp::Backend for Backend {
    async fn call(&self, op: OpId, request: Request) -> Result<Response> {
        let caller = caller(&self.seat, &self.session, &self.open, op);
        self.house.dispatch.call(&caller, request).await
    }

    fn profile(&self) -> mcp::Profile {
        match self.house.settings.config().borrow().mcp.profile {
            Profile::Core => mcp::Profile::Core,
            Profile::Full => mcp::Profile::Full,
        }
    }

    fn agent(&self, name: &str, version: &str) {
        self.seat.note(|session| {
            session.agent = Some(name.to_owned());
            session.agent_version = Some(version.to_owned());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[tokio::test]
    async fn a_panic_in_one_request_ends_only_that_request() {
        let faulty = guarded(async {
            tokio::task::yield_now().await;
            if std::hint::black_box(true) {
                panic!("on purpose");
            }
            Ok(())
        });
        let sound = guarded(async { Ok(7) });
        let (faulty, sound) = tokio::join!(faulty, sound);
        assert_eq!(faulty.unwrap_err().kind, ErrorKind::Internal);
        assert_eq!(sound.unwrap(), 7);
    }
}
