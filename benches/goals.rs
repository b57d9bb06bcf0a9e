//! `cargo bench --bench goals`: the numbers that Memoria promises, measured through the real shim and the real
//! daemon in a temporary home, each beside its goal. Nothing is asserted: machines differ, so read the ratios.
//!
//! `-- --quick` stops at 10,000 memories; `-- --only-models` measures only what models take. `-- --models FOLDER` says
//! where MiniLM is installed; without it, it is looked for where `memoria model install` puts it, and its rows are said
//! to be left out where it is not there.

mod goals {
    pub mod models;
}

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const MEMORIA: &str = env!("CARGO_BIN_EXE_memoria");
const MEMORIAD: &str = env!("CARGO_BIN_EXE_memoriad");

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let is_quick = arguments.iter().any(|word| word == "--quick");
    let models = arguments.iter().position(|word| word == "--models").and_then(|at| arguments.get(at + 1));
    println!("{:<58} {:>12}   goal", "what", "measured");
    if arguments.iter().any(|word| word == "--only-models") {
        return goals::models::rows(models.map(Path::new), is_quick);
    }
    sizes();
    start_up();
    stores();
    let sizes: &[u32] = if is_quick { &[1_000, 10_000] } else { &[1_000, 10_000, 100_000] };
    retrieval_and_memory(sizes);
    goals::models::rows(models.map(Path::new), is_quick);
}

fn row(what: &str, measured: impl std::fmt::Display, goal: &str) {
    println!("{what:<58} {measured:>12}   {goal}");
}

fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

fn mb(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

/// A home of its own for one measurement, with settings as `(variable, value)`; its daemon is stopped when it goes.
struct Home {
    folder: tempfile::TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Home {
    /// The built-in model, whatever is installed.
    fn new() -> Self {
        Self::with(vec![("MEMORIA_EMBEDDING_MODEL", "builtin".to_owned())])
    }

    fn with(settings: Vec<(&'static str, String)>) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), settings }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(MEMORIA);
        command.env("MEMORIA_HOME", self.path()).envs(self.settings.iter().cloned()).current_dir(self.path());
        command
    }

    fn memoria(&self, args: &[&str]) -> std::process::Output {
        self.command().args(args).output().unwrap()
    }

    fn status(&self) -> Value {
        serde_json::from_slice(&self.memoria(&["status", "--json"]).stdout).unwrap_or_default()
    }

    fn daemon_pid(&self) -> Option<u32> {
        self.status()["pid"].as_u64().map(|pid| pid as u32)
    }

    /// Until every memory has its vector; whose vectors these are.
    fn await_vectors(&self) -> String {
        loop {
            let embedding = self.status()["embedding"].take();
            assert!(embedding["problem"].is_null(), "{embedding}");
            if embedding["pending"] == 0 && embedding["serving"] == embedding["wanted"] {
                return embedding["serving"].as_str().unwrap_or_default().to_owned();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.memoria(&["stop"]);
    }
}

/// An agent: a real `memoria mcp` that has been initialized.
struct Agent {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    next: u64,
}

impl Agent {
    fn spawn(home: &Home) -> Self {
        let mut child = home.command().arg("mcp").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut agent = Self { child, stdin, stdout, next: 0 };
        agent.request(
            "initialize",
            json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "bench", "version": "1"},
            }),
        );
        agent.write(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        agent
    }

    fn write(&mut self, message: &Value) {
        let mut line = message.to_string();
        line.push('\n');
        self.stdin.write_all(line.as_bytes()).unwrap();
        self.stdin.flush().unwrap();
    }

    fn send(&mut self, method: &str, params: Value) {
        self.next += 1;
        self.write(&json!({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params}));
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn request(&mut self, method: &str, params: Value) -> Value {
        self.send(method, params);
        self.receive()
    }

    fn tool(&mut self, name: &str, arguments: Value) -> Value {
        let reply = self.request("tools/call", json!({"name": name, "arguments": arguments}));
        assert!(!reply["result"]["isError"].as_bool().unwrap_or(false), "{reply}");
        reply
    }

    /// Stores all texts with up to `window` requests in flight.
    fn store_all(&mut self, texts: &[String], window: usize) {
        let mut waiting = 0;
        for text in texts {
            self.send("tools/call", json!({"name": "memory_store", "arguments": {"content": text}}));
            waiting += 1;
            if waiting == window {
                self.receive();
                waiting -= 1;
            }
        }
        for _ in 0..waiting {
            self.receive();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A made-up word for a rank: three syllables, pronounceable and unlike the others.
fn name(rank: usize) -> String {
    const HEADS: [&str; 21] = [
        "ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "wu", "za", "bri", "cla",
        "dro", "fle", "gra",
    ];
    [rank % 21, rank / 21 % 21, rank / 441 % 21].map(|syllable| HEADS[syllable]).concat()
}

/// Sentences of a made-up project, with the word frequencies of natural text (Zipf) and a number of their own.
fn texts(count: u32, seed: u64) -> Vec<String> {
    let mut random = seed | 1;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut word = move || {
        let uniform = (next() % 1_000_000) as f64 / 1e6;
        name(9_000f64.powf(uniform) as usize)
    };
    (0..count)
        .map(|number| {
            let words: Vec<String> = (0..18).map(|_| word()).collect();
            format!("note {number}: {}", words.join(" "))
        })
        .collect()
}

fn sizes() {
    let size = |path: &str| std::fs::metadata(path).unwrap().len();
    row("both binaries together", mb(size(MEMORIA) + size(MEMORIAD)), "< 9 MB");
    row("memoria, the shim", mb(size(MEMORIA)), "< 1.5 MB");
}

fn start_up() {
    let home = Home::new();
    let warm_up = Agent::spawn(&home);
    let time = |home: &Home| {
        let begin = Instant::now();
        let agent = Agent::spawn(home);
        let elapsed = begin.elapsed();
        drop(agent);
        elapsed
    };
    row(
        "spawn to initialize answered, daemon warm, p50 of 50",
        ms(median((0..50).map(|_| time(&home)).collect())),
        "< 5 ms",
    );
    drop(warm_up);
    let cold = (0..15).map(|_| {
        home.memoria(&["stop"]);
        time(&home)
    });
    row("spawn to initialize answered, daemon cold, p50 of 15", ms(median(cold.collect())), "< 40 ms");
}

fn bare_fsync(folder: &Path) -> Duration {
    let mut file = std::fs::File::create(folder.join("fsync")).unwrap();
    let sample = || {
        let begin = Instant::now();
        file.write_all(&[7; 4096]).unwrap();
        file.sync_data().unwrap();
        begin.elapsed()
    };
    median(std::iter::repeat_with(sample).take(300).collect())
}

fn stores() {
    let home = Home::new();
    let mut agent = Agent::spawn(&home);
    agent.store_all(&texts(200, 3), 1);
    let fsync = bare_fsync(home.path());
    let one = texts(500, 5);
    let begin = Instant::now();
    let samples = one.iter().map(|text| {
        let begin = Instant::now();
        agent.tool("memory_store", json!({"content": text}));
        begin.elapsed()
    });
    let p50 = median(samples.collect());
    let rate_one = 500.0 / begin.elapsed().as_secs_f64();
    row("one bare 4 KiB write and fsync here, p50 of 300", ms(fsync), "(the yardstick)");
    row(
        "store acknowledged, one writer, p50 of 500",
        ms(p50),
        &format!("< {}", ms(fsync * 2 + Duration::from_micros(500))),
    );
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..32u64 {
            let home = &home;
            scope.spawn(move || Agent::spawn(home).store_all(&texts(100, 1_000 + writer), 1));
        }
    });
    let rate_many = 3_200.0 / begin.elapsed().as_secs_f64();
    row("stores a second, 1 writer", format!("{rate_one:.0}"), "");
    row(
        "stores a second, 32 writers (32 shims, spawn included)",
        format!("{rate_many:.0}"),
        &format!("> {:.0} (3x)", rate_one * 3.0),
    );
}

/// Resident and proportional set size in bytes.
fn memory_of(pid: u32) -> (u64, u64) {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let field = |name: &str| {
        let line = rollup.lines().find(|line| line.starts_with(name)).unwrap_or("0 0");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    (field("Rss:"), field("Pss:"))
}

/// Five words of something that was stored.
fn question(all: &[String], number: usize) -> String {
    let words: Vec<&str> = all[(number * 37) % all.len()].split(' ').skip(3).step_by(3).take(5).collect();
    format!("what do we know about {}?", words.join(" and "))
}

fn ask(agent: &mut Agent, all: &[String], questions: usize) -> Vec<Duration> {
    let asked = (0..questions).map(|number| {
        let question = question(all, number);
        let begin = Instant::now();
        agent.tool("memory_retrieve", json!({"query": question}));
        begin.elapsed()
    });
    asked.collect()
}

fn retrieval_and_memory(sizes: &[u32]) {
    let home = Home::new();
    let mut agent = Agent::spawn(&home);
    let all = texts(*sizes.last().unwrap(), 7);
    let goals = ["< 1 ms", "< 2 ms", "< 5 ms"];
    let mut stored = 0;
    for (size, goal) in sizes.iter().zip(goals) {
        agent.store_all(&all[stored..*size as usize], 32);
        stored = *size as usize;
        home.await_vectors();
        let samples = ask(&mut agent, &all[..stored], 200);
        row(&format!("retrieve through the shim, {size} memories, p50 of 200"), ms(median(samples)), goal);
    }
    let pid = home.daemon_pid().unwrap();
    let goal = if stored == 100_000 { "< 120 MB" } else { "" };
    row(&format!("daemon searching {stored} memories, RSS"), mb(memory_of(pid).0), goal);
}
