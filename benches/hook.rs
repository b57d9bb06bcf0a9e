//! `cargo bench --bench hook`: how long an agent waits for `memoria hook`, from starting the process to its end, with
//! a warm daemon and 1,000 memories; beside it what starting any process costs here, and one that finds no daemon.
//! Nothing is asserted: read the distribution. `-- --rounds N` asks each so often (300).

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const MEMORIA: &str = env!("CARGO_BIN_EXE_memoria");
const MEMORIES: usize = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let given = arguments.iter().position(|word| word == "--rounds").and_then(|at| arguments.get(at + 1)?.parse().ok());
    let rounds = given.unwrap_or(300);
    let home = tempfile::tempdir().unwrap();
    let memoria = || {
        let mut command = Command::new(MEMORIA);
        let settings = [("MEMORIA_EMBEDDING_MODEL", "builtin")];
        command.env("MEMORIA_HOME", home.path()).envs(settings).current_dir(home.path()).stdout(Stdio::piped());
        command
    };
    let file = home.path().join("memories.jsonl");
    std::fs::write(&file, (0..MEMORIES).map(memory).collect::<String>()).unwrap();
    let imported = memoria().arg("import").arg(&file).output().unwrap();
    assert!(imported.status.success(), "{imported:?}");

    println!("{:<44} {:>8} {:>8} {:>8} {:>8} {:>8}   goal", "ms", "p50", "p95", "p99", "most", "silent");
    let hook = |event: &str, payload: Value| {
        let mut command = memoria();
        command.args(["hook", event, "--agent", "claude-code"]).stdin(Stdio::piped());
        (command, payload.to_string())
    };
    let cwd = home.path().to_str().unwrap().to_owned();
    row("memoriad --version: a process, for scale", "", rounds, |_| {
        let mut command = memoria();
        command.arg("--version");
        (command, String::new())
    });
    row("session-start, daemon warm", "< 50, never > 300", rounds, |_| hook("session-start", json!({"cwd": cwd})));
    row("prompt that finds something, daemon warm", "< 50, never > 300", rounds, |round| {
        let prompt = format!("what does module{} do?", round % MEMORIES);
        hook("prompt", json!({"session_id": round.to_string(), "cwd": cwd, "prompt": prompt}))
    });
    row("prompt that finds nothing, daemon warm", "< 50, never > 300", rounds, |_| {
        hook("prompt", json!({"cwd": cwd, "prompt": "how tall is the Eiffel tower?"}))
    });
    row("pre-compact, daemon warm", "< 50, never > 300", rounds, |_| hook("pre-compact", json!({"session_id": "s"})));
    let _ = memoria().arg("stop").output();
    row("pre-compact, no daemon", "< 300", rounds, |_| hook("pre-compact", json!({"session_id": "s"})));
    let cold = |_: usize| {
        let _ = memoria().arg("stop").output();
        hook("session-start", json!({"cwd": cwd}))
    };
    row("session-start that has to start the daemon", "< 300", rounds.min(30), cold);
    let _ = memoria().arg("stop").output();
}

/// One line of an import: every tenth is a rule.
fn memory(number: usize) -> String {
    let kind = if number.is_multiple_of(10) { "procedural" } else { "semantic" };
    let text =
        format!("module{number} turns the orders of region {} into invoices, and is tested by hand.", number % 37);
    json!({"text": text, "kind": kind, "trust": "T2"}).to_string() + "\n"
}

/// Makes each process, gives it its input, and waits for its end; `silent` are those that said nothing.
fn row(what: &str, goal: &str, rounds: usize, make: impl Fn(usize) -> (Command, String)) {
    let mut silent = 0;
    let mut samples: Vec<Duration> = (0..rounds)
        .map(|round| {
            let (mut command, input) = make(round);
            let begun = Instant::now();
            let mut child = command.spawn().unwrap();
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(input.as_bytes()).unwrap();
            }
            let output = child.wait_with_output().unwrap();
            let elapsed = begun.elapsed();
            assert!(output.status.success(), "{output:?}");
            silent += usize::from(output.stdout.is_empty());
            elapsed
        })
        .collect();
    samples.sort_unstable();
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3;
    let [p50, p95, p99, most] = [0.5, 0.95, 0.99, 1.0].map(at);
    println!("{what:<44} {p50:>8.1} {p95:>8.1} {p99:>8.1} {most:>8.1} {silent:>8}   {goal}");
}
