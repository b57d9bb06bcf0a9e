//! One daemon's life: folders, lock, socket, readiness, serving, and the way down.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::announce::{Announce, Failure};
use super::dispatch::Dispatch;
use super::drain::Why;
use super::house::House;
use super::listen::Listening;
use super::lock::Lock;
use super::logs::Logs;
use super::{session, watch};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::wire::limits::{DRAIN_WATCHDOG, HANDSHAKES_MAX, SESSIONS_MAX};

const BLOCKING_THREADS_MAX: usize = 8;
/// A worker's stack is touched only as deep as it is used; this bounds the deepest.
const STACK_BYTES: usize = 1 << 20;
/// How often the daemon looks whether clients can still find it, and whether anybody still needs it.
/// Shorter than a starter's patience, so that a lost socket heals within one start.
const LOOK_AROUND_EVERY: Duration = Duration::from_secs(5);
/// Too many open files, most likely: somebody will close one.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// For the last answers to reach their clients.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// For a lock that is let go at this moment.
const LOCK_PATIENCE: Duration = Duration::from_millis(300);

/// How the daemon was started.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// Leave the terminal.
    pub daemonizes: bool,
    /// Say on standard output that it listens, or why not.
    pub announces: bool,
    /// Nobody asked for it by name: it may go when nobody needs it.
    pub is_auto: bool,
}

/// Runs until the daemon is done.
pub fn run(how: How) -> ExitCode {
    keep_private(how);
    let announce = if how.announces { Announce::to(std::io::stdout()) } else { Announce::nowhere() };
    let paths = match Paths::from_env().and_then(|paths| paths.prepare().map(|()| paths)) {
        Ok(paths) => paths,
        Err(error) => return give_up(announce, &error.into()),
    };
    #[cfg(unix)]
    if how.daemonizes {
        return match super::detach::detach(&paths, announce) {
            Ok(super::detach::Side::Parent(code)) => code,
            Ok(super::detach::Side::Child(channel)) => live(&paths, how, Announce::to(channel)),
            Err((announce, error)) => give_up(announce, &error.into()),
        };
    }
    live(&paths, how, announce)
}

/// The first thing: no file of ours is ever anybody else's to read, and no terminal's end, no pipe is ours.
#[cfg(unix)]
fn keep_private(how: How) {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    if how.is_auto && !super::detach::is_activated() {
        super::inherited::close_all();
    }
    if how.is_auto && !how.daemonizes {
        // Fails for a leader of a group, which has a session of its own already.
        let _ = rustix::process::setsid();
    }
}

#[cfg(not(unix))]
fn keep_private(_: How) {}

fn give_up(announce: Announce, why: &Failure) -> ExitCode {
    eprintln!("memoriad: {}", why.sentence());
    announce.failed(why);
    ExitCode::FAILURE
}

fn live(paths: &Paths, how: How, announce: Announce) -> ExitCode {
    let lock = match take_lock(paths) {
        Ok(lock) => lock,
        Err(why) => return give_up(announce, &why),
    };
    // The folder that it was started in may be deleted while it lives.
    if let Err(e) = std::env::set_current_dir(&paths.data_dir) {
        return give_up(announce, &Error::io(format_args!("enter {}", paths.data_dir.display()), &e).into());
    }
    // One thread serves all sessions, and what blocks or takes long is handed to others: between two serving threads
    // a request of 0.3 ms would spend most of its time on waking them in turn (14 futex calls a store, measured).
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => return give_up(announce, &Error::io("start threads", &e).into()),
    };
    let code = runtime.block_on(serve(paths, how, announce, &lock));
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(lock);
    code
}

/// A daemon that a service manager started takes over from one that an agent started.
fn take_lock(paths: &Paths) -> Result<Lock, Failure> {
    let taken = Lock::take(paths, LOCK_PATIENCE);
    #[cfg(unix)]
    if let Err(Failure::LockHeld(_)) = taken
        && super::detach::is_activated()
        && let Some(pid) = super::lock::holder(paths).and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()))
    {
        // Its socket has lost its path to the service manager's, so it cannot be asked there. It holds the lock, so
        // the number is its own.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        return Lock::take(paths, DRAIN_WATCHDOG);
    }
    taken
}

async fn serve(paths: &Paths, how: How, announce: Announce, lock: &Lock) -> ExitCode {
    let (house, listening, _logs) = match open_up(paths, how, lock) {
        Ok(opened) => opened,
        Err(error) => return give_up(announce, &error.into()),
    };
    // From here on a signal means an orderly end, before anybody is told that we listen.
    let signals = match Signals::new() {
        Ok(signals) => tokio::spawn(obey_signals(signals, Arc::clone(&house))),
        Err(e) => return give_up(announce, &Error::io("listen to signals", &e).into()),
    };
    announce.ready();
    notify_manager(Notice::Ready);
    silence_output(how);
    tracing::info!("memoriad {} listens, process {}", env!("CARGO_PKG_VERSION"), std::process::id());
    house.dispatch.open();
    let (why, listening) = welcome(&house, listening).await;
    tracing::info!("stopping: {why:?}");
    notify_manager(Notice::Stopping);
    let drain_ms_max = house.settings.config().borrow().daemon.drain_ms_max;
    let drain_max = Duration::from_millis(u64::from(drain_ms_max));
    arm_watchdog(drain_max);
    let leftover = listening.close();
    if timeout(drain_max, house.drain.is_quiet()).await.is_err() {
        tracing::warn!("requests were still in flight after {drain_ms_max} ms, and are left");
    }
    house.drain.finish();
    house.dispatch.close().await;
    // Answers that are on their way arrive; whoever does not read does not keep us.
    let everybody = house.places.acquire_many(SESSIONS_MAX as u32);
    let _ = timeout(FAREWELL_MAX, everybody).await;
    signals.abort();
    drop(leftover);
    ExitCode::SUCCESS
}

fn open_up(paths: &Paths, how: How, lock: &Lock) -> Result<(Arc<House>, Listening, Logs)> {
    let first = Config::load(paths);
    let logs = Logs::start(paths, &first.clone().unwrap_or_default().log)?;
    let settings = watch::start(paths, first, logs.control());
    #[cfg(unix)]
    let activated = Listening::activated(paths)?;
    #[cfg(not(unix))]
    let activated = None;
    let listening = match activated {
        Some(listening) => listening,
        None => Listening::bind(paths, lock)?,
    };
    let dispatch = Dispatch::new(paths.clone(), settings.config());
    Ok((House::new(dispatch, paths.clone(), settings, how.is_auto), listening, logs))
}

/// Lets clients in until there is a reason to go.
async fn welcome(house: &Arc<House>, listening: Listening) -> (Why, Listening) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let mut look_around = interval(LOOK_AROUND_EVERY);
    look_around.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = async {
            let handshake = Arc::clone(&handshakes).acquire_owned().await;
            (listening.accept().await, handshake)
        };
        tokio::select! {
            why = house.drain.begun() => return (why, listening),
            (accepted, handshake) = next => match (accepted, handshake) {
                (Ok(stream), Ok(handshake)) => drop(tokio::spawn(session::serve(stream, Arc::clone(house), handshake))),
                (Err(error), _) => {
                    tracing::warn!("a client could not be let in: {error}");
                    sleep(ACCEPT_AGAIN_AFTER).await;
                }
                (_, Err(_)) => {}
            },
            _ = look_around.tick() => {
                if !listening.is_found() {
                    tracing::error!("the socket has lost its path: clients cannot find this daemon, so it makes room");
                    house.drain.begin(Why::Lost);
                } else if house.is_idle() && !house.dispatch.has_waiting() {
                    house.drain.begin(Why::Idle);
                }
            }
        }
    }
}

/// The first signal drains, the second ends.
async fn obey_signals(mut signals: Signals, house: Arc<House>) {
    let mut count = 0;
    loop {
        signals.next().await;
        count += 1;
        if count > 1 {
            tracing::warn!("told to stop twice: ending at once");
            std::process::exit(1);
        }
        house.drain.begin(Why::Signal);
    }
}

#[cfg(unix)]
struct Signals(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    }

    async fn next(&mut self) {
        tokio::select! { _ = self.0.recv() => {}, _ = self.1.recv() => {} }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A thread of its own, which shares its fate with nothing: whatever hangs, the process ends.
fn arm_watchdog(drain_max: Duration) {
    let patience = DRAIN_WATCHDOG.max(drain_max + Duration::from_secs(5));
    let armed = std::thread::Builder::new().name("watchdog".into()).stack_size(64 << 10).spawn(move || {
        std::thread::sleep(patience);
        std::process::exit(1);
    });
    if let Err(error) = armed {
        tracing::warn!("nobody watches over the end: {error}");
    }
}

enum Notice {
    Ready,
    Stopping,
}

#[cfg(target_os = "linux")]
fn notify_manager(notice: Notice) {
    let state = match notice {
        Notice::Ready => sd_notify::NotifyState::Ready,
        Notice::Stopping => sd_notify::NotifyState::Stopping,
    };
    if let Err(error) = sd_notify::notify(false, &[state]) {
        tracing::warn!("the service manager could not be told: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
fn notify_manager(_: Notice) {}

/// Whoever read the announcement need not wait for the daemon's end to see the end of its output.
#[cfg(unix)]
fn silence_output(how: How) {
    if how.announces
        && !how.daemonizes
        && let Ok(nowhere) = std::fs::File::options().write(true).open("/dev/null")
    {
        let _ = rustix::stdio::dup2_stdout(nowhere);
    }
}

#[cfg(not(unix))]
fn silence_output(_: How) {}
