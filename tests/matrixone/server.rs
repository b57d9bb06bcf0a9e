//! A real server to test against, and a database of the test's own on it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once};
use std::thread;

use memoria::engine::matrixone::offline::Offline;
use memoria::engine::matrixone::pool::Pool;
use memoria::engine::matrixone::settings::Settings;
use memoria::engine::matrixone::{Incoming, MatrixOne};
use tokio::runtime::{Builder, Handle, Runtime};

/// Tests that need MatrixOne itself, beside the laws, which say so one by one. `skipped.rs` counts them.
pub const MATRIXONE_TESTS: usize = 15;

/// Where the server is, if there is one: `mysql://user:password@host:port`.
pub fn url() -> Option<String> {
    static SAID: Once = Once::new();
    let url = std::env::var("MEMORIA_TEST_MATRIXONE_URL").ok();
    if url.is_none() {
        // Not by a macro, which a passing test swallows.
        let line = format!("SKIPPED: {MATRIXONE_TESTS} tests: MEMORIA_TEST_MATRIXONE_URL names no MatrixOne server\n");
        SAID.call_once(|| drop(std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes())));
    }
    url.map(|url| url.trim_end_matches('/').to_owned())
}

/// Its port, on this machine.
pub fn port() -> u16 {
    let url = url().unwrap_or_default();
    url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(6001)
}

/// As the daemon has it.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().max_blocking_threads(16).build().unwrap()
}

/// A runtime whose thread does nothing but drive connections.
fn driving() -> Handle {
    static DRIVER: std::sync::OnceLock<Handle> = std::sync::OnceLock::new();
    DRIVER
        .get_or_init(|| {
            let runtime = runtime();
            let handle = runtime.handle().clone();
            thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
            handle
        })
        .clone()
}

/// A database that goes with this value.
pub struct Database {
    settings: Settings,
}

impl Database {
    /// One that nobody has used; `None` where there is no server. `of` is for those who look at the server.
    pub fn fresh(of: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let url = url()?;
        let name: String = of.chars().take(30).collect();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let settings = Settings::from_url(&format!("{url}/m{}_{count}_{name}", std::process::id())).unwrap();
        Some(Self { settings })
    }

    /// One more daemon's engine over it.
    pub fn engine(&self) -> MatrixOne {
        MatrixOne::open(&self.settings, driving())
    }

    /// The same through another port of this machine.
    pub fn engine_through(&self, port: u16) -> MatrixOne {
        MatrixOne::open(&Settings { port, ..self.settings.clone() }, driving())
    }

    /// The same with a queue of what waits.
    pub fn engine_with(&self, port: u16, queue: &Arc<Offline>) -> MatrixOne {
        let deadline = std::time::Duration::from_secs(2);
        let settings = Settings { port, deadline, waiting_bytes_max: 1 << 20, ..self.settings.clone() };
        queue.aim(&settings.place()).unwrap();
        MatrixOne::open_with(&settings, driving(), Arc::clone(queue))
    }

    /// For a store that is moved here.
    pub fn incoming(&self) -> Incoming {
        Incoming::open(&self.settings, driving())
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("{}/{}", url().unwrap_or_default(), self.settings.database)
    }

    /// Connections to it, for statements of the test's own.
    pub fn pool(&self) -> Pool {
        Pool::open(&self.settings, driving())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("drop database if exists `{}`", self.settings.database);
        let pool = self.pool();
        // Not on a thread that drives a runtime.
        let _ = thread::spawn(move || pool.read(|session| session.text(&drop))).join();
    }
}
