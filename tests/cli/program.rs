//! The program as a whole: its help, its completions, and the demo that shows it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::said;
use crate::support::{Home, eventually, signal};

#[rustfmt::skip]
const COMMANDS: &[&str] = &[
    "mcp", "store", "retrieve", "list", "show", "correct", "purge",
    "branch", "checkout", "snapshot", "diff", "merge", "resolve", "pick",
    "apply", "rollback", "revert", "undo", "redo", "log", "blame",
    "import", "export", "status", "logs", "start", "stop", "restart",
    "service", "verify", "repair", "compact", "model", "config", "demo", "completions", "hook",
];

#[test]
fn help_of_every_command_has_an_example() {
    let home = Home::new();
    for command in COMMANDS {
        let help = home.run(&["help", command]);
        assert!(help.status.success() && said(&help).contains("xample"), "{command}: {}", said(&help));
    }
    let all = said(&home.run(&["--help"]));
    assert!(
        COMMANDS.iter().all(|command| all.contains(&format!("\n  {command} "))) && all.contains("Exit codes"),
        "{all}"
    );
    let overview = home.run(&[]);
    assert!(overview.status.success() && said(&overview).contains("memoria demo"));
}

#[test]
fn completions_are_scripts_that_their_shells_accept() {
    let home = Home::new();
    for (shell, word) in [
        ("bash", "complete"),
        ("zsh", "#compdef memoria"),
        ("fish", "complete -c memoria"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = home.run(&["completions", shell]);
        assert!(script.status.success() && said(&script).contains(word), "{shell}");
        assert!(COMMANDS.iter().all(|command| said(&script).contains(command)), "{shell}");
    }
    let script = home.path().join("completions.bash");
    std::fs::write(&script, home.run(&["completions", "bash"]).stdout).unwrap();
    assert!(Command::new("bash").arg("-n").arg(script).status().unwrap().success());
}

#[test]
fn the_demo_runs_and_leaves_nothing_behind() {
    let home = Home::new();
    let run = |words: &[&str]| home.memoria().args(words).env("TMPDIR", home.path()).output().unwrap();
    let output = run(&["demo"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("kill -9") && said(&output).contains("What to type next"), "{}", said(&output));
    let wide: Vec<_> =
        output.stdout.split(|b| *b == b'\n').filter(|l| String::from_utf8_lossy(l).chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:?}");
    assert_eq!(leftovers(&home), [""; 0]);
    eventually("the demo's daemon is gone", || daemons_below(&home).is_empty());
}

#[test]
fn an_interrupted_demo_cleans_up() {
    let home = Home::new();
    let mut demo = home.memoria().arg("demo").env("TMPDIR", home.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    assert!(lines.nth(1).unwrap().unwrap().contains("starts the daemon"));
    signal(demo.id(), Signal::INT);
    assert!(!demo.wait().unwrap().success());
    eventually("the demo's folder is gone", || leftovers(&home).is_empty());
    eventually("the demo's daemon is gone", || daemons_below(&home).is_empty());
}

/// Daemons whose home is somewhere in this one.
fn daemons_below(home: &Home) -> Vec<String> {
    let below = format!("MEMORIA_HOME={}/", home.path().display());
    let is_one = |dir: &Path| {
        std::fs::read(dir.join("comm")).is_ok_and(|name| name == b"memoriad\n")
            && std::fs::read(dir.join("environ")).is_ok_and(|all| String::from_utf8_lossy(&all).contains(&below))
    };
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok().map(|entry| entry.path()));
    processes.filter(|dir| is_one(dir)).map(|dir| dir.display().to_string()).collect()
}

fn leftovers(home: &Home) -> Vec<String> {
    let entries = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name());
    entries.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with("memoria-demo")).collect()
}
