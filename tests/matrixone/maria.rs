//! Debian's MariaDB, in a folder and on a port of its own, ended by its number. It stands in for MatrixOne where only
//! the protocol, transactions and locks count.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Once, Weak};
use std::time::Duration;

use memoria::engine::matrixone::pool::Pool;
use memoria::engine::matrixone::settings::Settings;
use tokio::runtime::Handle;

use crate::matrixone_skipped::MARIA_TESTS;

pub const USER: &str = "tester";
pub const PASSWORD: &str = "not-in-any-log";

pub struct Maria {
    dir: tempfile::TempDir,
    pub port: u16,
    server: Mutex<Option<Child>>,
    options: Vec<String>,
}

/// One server for all tests that leave it as it is; `None`, said once, where there is no MariaDB.
pub fn shared() -> Option<Arc<Maria>> {
    static SHARED: Mutex<Weak<Maria>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap();
    if let Some(maria) = shared.upgrade() {
        return Some(maria);
    }
    let maria = Arc::new(Maria::start(&[])?);
    *shared = Arc::downgrade(&maria);
    Some(maria)
}

/// Whether there is a MariaDB to start; says so, once, where there is none.
pub fn is_installed() -> bool {
    static SAID: Once = Once::new();
    let has =
        |program: &str| Command::new(found(program)).arg("--version").output().is_ok_and(|out| out.status.success());
    let is_there = has("mariadbd") && has("mariadb-install-db");
    if !is_there {
        // Not by a macro, which a passing test swallows.
        let line = format!("SKIPPED: {MARIA_TESTS} tests of the pool: no mariadbd (apt-get install mariadb-server)\n");
        SAID.call_once(|| drop(std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes())));
    }
    is_there
}

/// Where Debian puts servers, which not everybody's PATH names.
fn found(program: &str) -> PathBuf {
    let system = Path::new("/usr/sbin").join(program);
    if system.exists() { system } else { PathBuf::from(program) }
}

impl Maria {
    /// With further options for `mariadbd`; `None` where it is not installed.
    pub fn start(options: &[&str]) -> Option<Self> {
        is_installed().then(|| {
            let dir = tempfile::Builder::new().prefix("maria").tempdir_in("/tmp").unwrap();
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let init = dir.path().join("init.sql");
            let grant = format!(
                "create database if not exists test;\n\
                 create user if not exists '{USER}'@'%' identified by '{PASSWORD}';\n\
                 grant all on *.* to '{USER}'@'%';\n"
            );
            std::fs::write(&init, grant).unwrap();
            let made = Command::new(found("mariadb-install-db"))
                .arg("--no-defaults")
                .arg(format!("--datadir={}", data(dir.path())))
                .args(["--auth-root-authentication-method=normal", "--skip-test-db", &user_option()])
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            let options = options.iter().map(|&option| option.to_owned()).collect();
            let maria = Self { dir, port, server: Mutex::new(None), options };
            maria.begin();
            maria
        })
    }

    /// Starts it, again if it was killed, and waits until it answers.
    pub fn begin(&self) {
        let dir = self.dir.path();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let server = Command::new(found("mariadbd"))
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data(dir)))
            .arg(format!("--port={}", self.port))
            .arg(format!("--socket={}", dir.join("socket").display()))
            .arg(format!("--pid-file={}", dir.join("pid").display()))
            .arg(format!("--init-file={}", dir.join("init.sql").display()))
            .args(["--bind-address=127.0.0.1", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M"])
            .args([
                "--skip-log-bin",
                "--performance-schema=off",
                "--max-connections=64",
                "--character-set-server=utf8mb4",
                "--loose-skip-name-resolve",
            ])
            .arg(user_option())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.server.lock().unwrap() = Some(server);
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let said = || std::fs::read_to_string(dir.join("log")).unwrap_or_default();
            assert!(std::time::Instant::now() < deadline, "mariadbd does not listen:\n{}", said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// kill -9.
    pub fn kill(&self) {
        if let Some(mut server) = self.server.lock().unwrap().take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    pub fn url(&self, database: &str) -> String {
        url(self.port, database)
    }
}

impl Drop for Maria {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn url(port: u16, database: &str) -> String {
    format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}")
}

fn data(dir: &Path) -> String {
    dir.join("data").display().to_string()
}

/// It refuses to run as root unless it is told to.
fn user_option() -> String {
    let is_root = rustix::process::geteuid().is_root();
    format!("--user={}", if is_root { "root".to_owned() } else { std::env::var("USER").unwrap_or_default() })
}

/// Runs `work` as the daemon runs an engine: on a thread that may block, while the runtime's one thread serves it.
pub fn beside_a_runtime<T: Send + 'static>(work: impl FnOnce(Handle) -> T + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(8).build().unwrap();
    let worked = runtime.block_on(async move {
        let handle = Handle::current();
        tokio::task::spawn_blocking(move || work(handle)).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    worked.unwrap()
}

/// With a deadline of 20 s, which no test is to reach.
pub fn pool(url: &str, handle: Handle) -> Pool {
    Pool::open(&Settings::from_url(url).unwrap(), handle).within(Duration::from_secs(20))
}
