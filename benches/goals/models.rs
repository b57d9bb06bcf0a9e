//! What the daemon and its agents take of memory with a model: the built-in one, MiniLM in use, and MiniLM when nobody
//! has asked for a while.

use std::path::{Path, PathBuf};
use std::time::Duration;

use memoria::paths::Paths;

use super::super::{Agent, Home, ask, mb, memory_of, row, texts};

const WINDOWS: usize = 5;
const MEMORIES: u32 = 1_000;
/// From the last request to a daemon at rest: what is in memory only is flushed, and what is freed given back.
const REST: Duration = Duration::from_secs(45);
/// `embedding.idle_min` at its least, and the follower's own pace.
const DROP: Duration = Duration::from_secs(60 + 20 + 15);

pub fn rows(models: Option<&Path>, is_quick: bool) {
    five_windows_built_in();
    alone_with_vectors(if is_quick { 1_000 } else { 10_000 });
    let folder = models.map(PathBuf::from).or_else(|| Some(Paths::from_env().ok()?.models_folder()));
    match folder.filter(|folder| folder.join("minilm").is_dir()) {
        Some(folder) => five_windows_minilm(&folder),
        None => println!("left out: the rows of minilm (`memoria model install minilm`, or `--models FOLDER`)"),
    }
}

/// PSS of the daemon and its agents' shims, in bytes.
fn of_all(home: &Home, agents: &[Agent]) -> u64 {
    let shims: u64 = agents.iter().map(|agent| memory_of(agent.child.id()).1).sum();
    memory_of(home.daemon_pid().unwrap()).1 + shims
}

fn filled(home: &Home, memories: u32) -> (Vec<Agent>, Vec<String>) {
    let mut agents = vec![Agent::spawn(home)];
    let all = texts(memories, 7);
    agents[0].store_all(&all, 32);
    home.await_vectors();
    (agents, all)
}

fn five_windows_built_in() {
    let home = Home::new();
    let (mut agents, all) = filled(&home, MEMORIES);
    agents.extend((1..WINDOWS).map(|_| Agent::spawn(&home)));
    agents.iter_mut().for_each(|agent| drop(ask(agent, &all, 20)));
    row("daemon and five shims, built-in in use, PSS", mb(of_all(&home, &agents)), "< 26 MB");
    std::thread::sleep(REST);
    row("daemon and five shims, built-in, idle, PSS", mb(of_all(&home, &agents)), "");
    row("shim, RSS", mb(memory_of(agents[0].child.id()).0), "< 3 MB");
}

fn alone_with_vectors(memories: u32) {
    let home = Home::new();
    let (agents, _) = filled(&home, memories);
    drop(agents);
    std::thread::sleep(REST);
    let pss = memory_of(home.daemon_pid().unwrap()).1;
    row(&format!("daemon alone, {memories} memories, built-in vectors, idle, PSS"), mb(pss), "< 20 MB");
}

fn five_windows_minilm(folder: &Path) {
    let home = Home::with(vec![
        ("MEMORIA_EMBEDDING_MODEL", "minilm".to_owned()),
        ("MEMORIA_EMBEDDING_MODELS_DIR", folder.display().to_string()),
        ("MEMORIA_EMBEDDING_IDLE_MIN", "1".to_owned()),
    ]);
    let (mut agents, all) = filled(&home, MEMORIES);
    agents.extend((1..WINDOWS).map(|_| Agent::spawn(&home)));
    agents.iter_mut().for_each(|agent| drop(ask(agent, &all, 20)));
    row("daemon and five shims, minilm in use, PSS", mb(of_all(&home, &agents)), "< 50 MB");
    std::thread::sleep(DROP);
    row("daemon and five shims, minilm idle again, PSS", mb(of_all(&home, &agents)), "< 26 MB");
}
