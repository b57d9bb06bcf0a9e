//! What the bench works on: a home with a daemon, made-up facts with the word frequencies of natural text, and edits.

use std::collections::HashSet;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use memoria::client::Client;
use memoria::model::{Filter, Name};
use memoria::paths::Paths;
use memoria::wire::message::{
    Correct, Depth, Export, Import, Place, Purge, PurgeTarget, Request, Response, Row, Target, View,
};

pub struct Environment {
    pub memoria: PathBuf,
    pub home: PathBuf,
}

impl Environment {
    pub fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(&self.memoria);
        command.args(words).env("MEMORIA_HOME", &self.home).current_dir(&self.home).output().unwrap()
    }

    pub fn paths(&self) -> Paths {
        paths(&self.home)
    }

    pub fn import(&self, file: &Path, branch: &str) {
        let output = self.run(&["import", file.to_str().unwrap(), "--branch", branch]);
        assert!(output.status.success(), "{output:?}");
    }

    pub fn daemon_pid(&self) -> u32 {
        let output = self.run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        status["pid"].as_u64().unwrap() as u32
    }
}

/// Where everything is below `MEMORIA_HOME`.
pub fn paths(home: &Path) -> Paths {
    let [config_dir, data_dir, state_dir, runtime_dir] =
        ["config", "data", "state", "run"].map(|folder| home.join(folder));
    Paths { config_dir, data_dir, state_dir, runtime_dir }
}

/// Brings to disk whatever waits for it.
pub fn sync() {
    assert!(Command::new("sync").status().unwrap().success());
}

/// Resident set in bytes.
pub fn rss(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// A made-up word for a rank: three syllables, pronounceable and unlike the others.
fn name(rank: usize) -> String {
    const HEADS: [&str; 21] = [
        "ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "wu", "za", "bri", "cla",
        "dro", "fle", "gra",
    ];
    [rank % 21, rank / 21 % 21, rank / 441 % 21].map(|syllable| HEADS[syllable]).concat()
}

/// Fact number so and so: 18 words, Zipf-distributed over 9,000, and its number. The same number is the same text.
pub fn fact(number: u32) -> String {
    let mut random = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut word = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let uniform = (random >> 11) as f64 / (1u64 << 53) as f64;
        name(9_000f64.powf(uniform) as usize)
    };
    let words: Vec<String> = (0..18).map(|_| word()).collect();
    format!("note {number}: {}", words.join(" "))
}

pub fn write_facts(folder: &Path, file: &str, first: u32, end: u32) -> PathBuf {
    let path = folder.join(file);
    let mut out = BufWriter::new(std::fs::File::create(&path).unwrap());
    for number in first..end {
        writeln!(out, "{{\"text\": \"{}\", \"kind\": \"semantic\", \"tags\": [\"t{}\"]}}", fact(number), number % 50)
            .unwrap();
    }
    out.flush().unwrap();
    path
}

/// Five words of a fact each.
pub fn questions(memories: u32) -> Vec<String> {
    let ask = |number: u32| {
        let text = fact(number * 37 % memories);
        let words: Vec<&str> = text.split(' ').skip(3).step_by(3).take(5).collect();
        format!("what do we know about {}?", words.join(" and "))
    };
    (0..100).map(ask).collect()
}

/// Four of ten changes are new memories, four of ten corrections, two of ten purges, spread over the store, and of
/// memories that nobody changed before (`used`).
pub async fn edit(client: &mut Client, branch: &str, changes: u32, memories: u32, used: &mut HashSet<String>) {
    let on: Option<Name> = Some(branch.parse().unwrap());
    let (new, corrected, purged) = (changes * 4 / 10, changes * 4 / 10, changes * 2 / 10);
    for batch in (0..new).collect::<Vec<_>>().chunks(4_000) {
        let text = |n: u32| format!("new on {branch}: {}", fact(memories + n));
        let rows = batch.iter().map(|n| Row { line: n + 1, text: text(*n), ..Row::default() }).collect();
        let import = Import { branch: on.clone(), place: Place::Global, rows, ..Import::default() };
        client.ask(Request::Import(import)).await.unwrap();
    }
    let ids = spread(client, branch, corrected + purged, used).await;
    let (to_correct, to_purge) = ids.split_at(corrected as usize);
    for (n, id) in to_correct.iter().enumerate() {
        let text = format!("corrected on {branch}: {}", fact(memories + 1_000_000 + n as u32));
        let target = Target::Id(id.clone());
        let ask = Correct {
            branch: on.clone(),
            target,
            text,
            reason: None,
            trust: None,
            tags: None,
            marks: Default::default(),
        };
        client.ask(Request::Correct(ask)).await.unwrap();
    }
    for ids in to_purge.chunks(500) {
        let target = PurgeTarget::Ids(ids.to_vec());
        let ask = Purge { branch: on.clone(), target, depth: Depth::State, reason: None };
        client.ask(Request::Purge(ask)).await.unwrap();
    }
}

/// Ids of so many memories, evenly over the branch.
async fn spread(client: &mut Client, branch: &str, count: u32, used: &mut HashSet<String>) -> Vec<String> {
    let (mut ids, mut rest) = (Vec::new(), None);
    let (mut seen, mut step) = (0u32, 1);
    loop {
        let view = View { branch: Some(branch.parse().unwrap()), at: None };
        let ask = Export { view, place: Place::Everywhere, filter: Filter::default(), rest };
        let Response::Exported(part) = client.ask(Request::Export(ask)).await.unwrap() else { panic!("no export") };
        step = step.max(part.total / (count + 1)).max(1);
        for memory in part.memories {
            let id = memory.id.to_string();
            if seen >= step && ids.len() < count as usize && used.insert(id.clone()) {
                ids.push(id);
                seen = 0;
            }
            seen += 1;
        }
        rest = part.rest;
        if rest.is_none() || ids.len() >= count as usize {
            return ids;
        }
    }
}
