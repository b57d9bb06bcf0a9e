//! Debian's MariaDB, in a folder and on a port of its own, ended by its number. It stands in for MatrixOne where only
//! the protocol, transactions and locks count.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Once, Weak};
use std::time::Duration;

use memoria::engine::matrixone::pool::Pool;
use memoria::engine::matrixone::settings::Settings;
use tokio::runtime::Handle;

use crate::matrixone_skipped::MARIA_TESTS;
use crate::support::eventually;

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
            let init = dir.path().join("init.sql");
            let grant = format!(
                "create database if not exists test;\n\
                 create user if not exists '{USER}'@'%' identified by '{PASSWORD}';\n\
                 grant all on *.* to '{USER}'@'%';\n"
            );
            std::fs::write(&init, grant).unwrap();
            std::fs::create_dir(dir.path().join("tmp")).unwrap();
            let made = Command::new(found("mariadb-install-db"))
                .env("TMPDIR", dir.path().join("tmp"))
                .arg("--no-defaults")
                .arg(format!("--datadir={}", data(dir.path())))
                .args(["--auth-root-authentication-method=normal", "--skip-test-db", &user_option()])
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            let options = options.iter().map(|&option| option.to_owned()).collect();
            let mut maria = Self { dir, port: 0, server: Mutex::new(None), options };
            eventually("mariadbd finds a port that nobody else takes meanwhile", || {
                maria.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
                maria.has_begun()
            });
            maria
        })
    }

    /// Starts it again, after it was killed, and waits until it answers.
    pub fn begin(&self) {
        eventually("mariadbd begins again", || self.has_begun());
    }

    /// Starts it, and waits until it answers; not so where it ends before, having found its port taken.
    fn has_begun(&self) -> bool {
        let dir = self.dir.path();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let server = Command::new(found("mariadbd"))
            // A server that begins takes the temporary tables away that it finds, those of others as well.
            .env("TMPDIR", dir.join("tmp"))
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
        let said = || std::fs::read_to_string(dir.join("log")).unwrap_or_default();
        let has_ended = || self.server.lock().unwrap().as_mut().is_none_or(|it| it.try_wait().unwrap().is_some());
        eventually("mariadbd answers or ends", || {
            std::thread::sleep(Duration::from_millis(50));
            self.greets() || has_ended()
        });
        assert!(!has_ended() || said().contains("in use"), "mariadbd does not begin:\n{}", said());
        !has_ended()
    }

    /// Whether it is a server of this protocol who listens there: its first packet begins with 10.
    fn greets(&self) -> bool {
        let mut first = [0; 5];
        let heard = TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.read_exact(&mut first)
        });
        heard.is_ok() && first[4] == 10
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
