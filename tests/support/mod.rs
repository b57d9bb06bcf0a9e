//! A home of its own for each test, real processes in it, and an agent that speaks through the shim.
//! Ends only processes that were started for that home.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use memoria::wire::limits::START_WITHIN;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// A number that the environment may give: `MEMORIA_SEED`, `MEMORIA_ROUNDS`.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Announces the seed, as every random test does first.
pub fn seed() -> u64 {
    let fresh = u64::from_le_bytes(uuid::Uuid::new_v4().into_bytes()[..8].try_into().unwrap());
    let seed = setting("MEMORIA_SEED", fresh);
    println!("SEED={seed}");
    seed
}

/// splitmix64: enough chance for a test, from one number.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Says so when it is dropped, also by a failure: threads that work until then must not keep a test for ever.
pub struct Done<'a>(pub &'a std::sync::atomic::AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// No statement about speed, since a machine may be busy: it rules out that somebody waited for a daemon, or for ever.
pub const AT_ONCE: Duration = Duration::from_secs(START_WITHIN.as_secs() - 1);

/// Waits until it holds: two minutes at most, which are for machines that are slow and busy with something else.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A program of a few lines. Another process writes it: what this one has open for writing is for a moment open in
/// whatever another test starts just then, and nobody can run a file that is open for writing.
pub fn script(path: &Path, text: &str) {
    let mut writer = Command::new("/bin/sh");
    writer.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut writer = writer.spawn().unwrap();
    writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
}

pub struct Home {
    dir: tempfile::TempDir,
    /// What its programs find in their environment besides.
    env: Vec<(String, String)>,
}

impl Home {
    pub fn new() -> Self {
        // Short, because a socket's path may have 107 bytes.
        Self { dir: tempfile::Builder::new().prefix("mem").tempdir_in("/tmp").unwrap(), env: Vec::new() }
    }

    /// One whose memories are in a new database of the server that `MEMORIA_TEST_MATRIXONE_URL` names, if it names one.
    pub fn on_matrixone(database: &str) -> Option<Self> {
        let server = std::env::var("MEMORIA_TEST_MATRIXONE_URL").ok()?;
        let url = format!("{}/{database}_{}", server.trim_end_matches('/'), std::process::id());
        let env = [("MEMORIA_ENGINE_KIND", "matrixone".to_owned()), ("MEMORIA_MATRIXONE_URL", url)];
        let mut home = Self::new();
        home.env = env.map(|(name, value)| (name.to_owned(), value)).into();
        Some(home)
    }

    /// One whose programs find these in their environment.
    pub fn with(env: &[(&str, &str)]) -> Self {
        env.iter().fold(Self::new(), |home, (name, value)| home.and(name, value))
    }

    /// From now on with this in the environment of programs that are started.
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.path().join("run/memoriad-1.sock")
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("MEMORIA_HOME", self.path())
            .envs(self.env.iter().cloned())
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    pub fn memoria(&self) -> Command {
        self.command(env!("CARGO_BIN_EXE_memoria"))
    }

    pub fn memoriad(&self) -> Command {
        self.command(env!("CARGO_BIN_EXE_memoriad"))
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.memoria().args(arguments).output().unwrap()
    }

    /// What a command says as JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {output:?}"))
    }

    /// Every living daemon of this home. (`memoriad cli …` is a command that somebody typed.)
    pub fn daemons(&self) -> Vec<u32> {
        let ours = [b"MEMORIA_HOME=", self.path().as_os_str().as_bytes()].concat();
        let is_ours = |dir: &Path| {
            let is_named = std::fs::read(dir.join("comm")).is_ok_and(|name| name == b"memoriad\n");
            let typed = std::fs::read(dir.join("cmdline")).unwrap_or_default();
            let is_daemon = is_named && typed.split(|byte| *byte == 0).nth(1) != Some(b"cli");
            let environment = if is_daemon { std::fs::read(dir.join("environ")).unwrap_or_default() } else { vec![] };
            environment.split(|byte| *byte == 0).any(|variable| variable == ours)
        };
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let ours = processes.filter(|dir| is_ours(dir));
        ours.filter_map(|dir| dir.file_name()?.to_str()?.parse().ok()).collect()
    }

    /// Who wrote itself into the lock file.
    pub fn pid(&self) -> Option<u32> {
        std::fs::read_to_string(self.data().join("memoria.lock")).ok()?.trim().parse().ok()
    }

    pub fn log(&self) -> String {
        let files = std::fs::read_dir(self.path().join("state/logs")).into_iter().flatten().flatten();
        files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect()
    }

    /// How many daemons ever came to listen here.
    pub fn births(&self) -> usize {
        self.log().matches(" listens, process ").count()
    }

    pub fn start(&self) -> u32 {
        let output = self.run(&["start"]);
        assert!(output.status.success(), "{output:?}");
        self.pid().unwrap()
    }

    pub fn kill_9(&self) {
        for pid in self.daemons() {
            signal(pid, Signal::KILL);
        }
    }

    /// Vectors follow what is stored. What is asked for before is found by words, and who is beside it may differ:
    /// where that matters, this comes first.
    pub fn await_vectors(&self) {
        eventually("every memory has its vector", || {
            let embedding = &self.json(&["status"])["embedding"];
            embedding["serving"].is_string() && embedding["pending"] == 0
        });
    }

    pub fn await_no_daemon(&self) {
        eventually("no daemon is left", || self.daemons().is_empty());
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}", self.path().display(), self.log());
        }
        self.kill_9();
    }
}

pub fn signal(pid: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal);
}

/// Whether a process is there, with what it has open. One that has ended is not, though nobody asks how it did; its
/// first thread may have ended before the others.
pub fn is_alive(pid: u32) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let Ok(stat) = std::fs::read_to_string(process.join("stat")) else { return false };
    let has_ended = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']));
    !has_ended || std::fs::read_dir(process.join("task")).is_ok_and(|threads| threads.count() > 1)
}

/// An agent: a real `memoria mcp` with a hand on its input and output.
pub struct Agent {
    pub child: Child,
    pub input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    requests: u64,
    /// Notifications that came before an answer, by their methods.
    pub told: Vec<String>,
}

impl Agent {
    pub fn new(home: &Home) -> Self {
        Self::of(&mut home.memoria())
    }

    /// By this command, which is `memoria` with its environment and folder.
    pub fn of(memoria: &mut Command) -> Self {
        let mut child = memoria.arg("mcp").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output, requests: 0, told: Vec::new() }
    }

    /// Also says hello, as agents do.
    pub fn introduced(home: &Home, name: &str) -> Self {
        let mut agent = Self::new(home);
        agent.introduce(name);
        agent
    }

    pub fn introduce(&mut self, name: &str) {
        let answer = self.ask("initialize", introduction(name));
        assert!(answer["result"]["protocolVersion"].is_string(), "{answer}");
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub fn say(&mut self, message: &Value) {
        self.write(format!("{message}\n").as_bytes());
    }

    /// Sends a request and does not wait; its id is the answer.
    pub fn begin(&mut self, method: &str, params: Value) -> u64 {
        self.requests += 1;
        self.say(&json!({"jsonrpc": "2.0", "id": self.requests, "method": method, "params": params}));
        self.requests
    }

    /// The next answer, which must be JSON-RPC; `None` at the end. What is told unasked on the way is kept apart.
    pub fn hear(&mut self) -> Option<Value> {
        loop {
            let message = self.line()?;
            match message["method"].as_str().filter(|method| method.starts_with("notifications/")) {
                Some(method) => self.told.push(method.to_owned()),
                None => return Some(message),
            }
        }
    }

    /// The next line of output.
    pub fn line(&mut self) -> Option<Value> {
        let mut line = Vec::new();
        self.output.read_until(b'\n', &mut line).unwrap();
        if line.is_empty() {
            return None;
        }
        let message: Value =
            serde_json::from_slice(&line).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&line)));
        let first = if message.is_array() { &message[0] } else { &message };
        assert_eq!(first["jsonrpc"], "2.0", "{message}");
        Some(message)
    }

    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params);
        let answer = self.hear().expect("the shim has ended");
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// What a tool says, as structured content; an error is a failure.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.calls(tool, [arguments]).remove(0)
    }

    /// The same call with many arguments, many at a time; the answers are in their order.
    pub fn calls(&mut self, tool: &str, arguments: impl IntoIterator<Item = Value>) -> Vec<Value> {
        let mut answers = Vec::new();
        let all: Vec<_> = arguments.into_iter().collect();
        // So few that neither side's pipe is full before the other is read.
        for some in all.chunks(16) {
            let first = answers.len();
            let ids: Vec<_> =
                some.iter().map(|given| self.begin("tools/call", json!({"name": tool, "arguments": given}))).collect();
            answers.resize(first + some.len(), Value::Null);
            for _ in some {
                let mut answer = self.hear().expect("the shim has ended");
                assert_eq!(answer["result"]["isError"], false, "{tool}: {answer}");
                let place = ids.iter().position(|id| answer["id"] == *id).expect("an answer to one of these");
                answers[first + place] = answer["result"]["structuredContent"].take();
            }
        }
        answers
    }

    pub fn begin_store(&mut self, text: &str) -> u64 {
        self.begin("tools/call", json!({"name": "memory_store", "arguments": {"content": text}}))
    }

    /// Ends its input and waits for its end; how long that took.
    pub fn leave(mut self) -> Duration {
        let begun = Instant::now();
        drop(self.input.take());
        while self.hear().is_some() {}
        assert!(self.child.wait().unwrap().success());
        begun.elapsed()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn introduction(name: &str) -> Value {
    json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": name, "version": "1.0"}})
}

/// The id of a stored memory; anything but a first, successful store is a failure.
pub fn stored(answer: &Value) -> String {
    let content = &answer["result"]["structuredContent"];
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    assert_eq!(content["duplicate"], false, "stored twice: {answer}");
    content["memory"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}
