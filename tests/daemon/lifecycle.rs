//! How a daemon comes up, goes down and mends itself, and what people hear when it cannot.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use memoria::wire::limits::ATTEMPTS_MAX;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{AT_ONCE, Agent, Home, eventually, script, signal, stored};

/// Nobody in particular, who owns nothing.
const OTHER_UID: &str = "65534";

/// As an ordinary user: CI is root, to whom nothing is forbidden.
fn as_other(program: &str, home: &Home) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", OTHER_UID, "--regid", OTHER_UID, "--clear-groups", program]);
    command.env("MEMORIA_HOME", home.path()).current_dir("/").stdin(Stdio::null());
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The programs where another user can run them: a build folder may be closed to others.
fn public_programs(home: &Home) -> [String; 2] {
    let dir = home.path().join("bin");
    std::fs::create_dir(&dir).unwrap();
    let copies = [("memoria", env!("CARGO_BIN_EXE_memoria")), ("memoriad", env!("CARGO_BIN_EXE_memoriad"))];
    for folder in [home.path(), &dir] {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    }
    copies.map(|(name, from)| {
        // Not by this process: see `support::script`.
        assert!(Command::new("cp").arg(from).arg(dir.join(name)).status().unwrap().success());
        dir.join(name).to_str().unwrap().to_owned()
    })
}

#[test]
fn sigterm_while_writing_loses_nothing_and_the_agent_notices_nothing() {
    let home = Home::new();
    let mut agent = Agent::introduced(&home, "writer");
    for number in 0..60 {
        agent.begin_store(&format!("written through a stop {number}"));
        if number % 20 == 10 {
            signal(home.pid().unwrap(), Signal::TERM);
        }
        stored(&agent.hear().unwrap());
    }
    agent.leave();
    home.start();
    assert_eq!(home.json(&["status"])["memories"], 60);
    // The log is written behind the daemon's back.
    eventually("each of them is logged", || home.births() >= 4);
}

#[test]
fn a_stopped_daemon_removes_its_socket_and_ends_with_success() {
    let home = Home::new();
    let mut daemon = home.memoriad().arg("--foreground").spawn().unwrap();
    eventually("it listens", || home.socket().exists() && home.births() == 1);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&home.socket()), mode(&home.path().join("run"))), (0o600, 0o700));
    signal(daemon.id(), Signal::TERM);
    assert!(daemon.wait().unwrap().success());
    assert!(!home.socket().exists());
    assert!(home.data().join("memoria.lock").exists(), "the lock's file stays");
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let home = Home::new();
    let mut daemon = home.memoriad().arg("--foreground").spawn().unwrap();
    eventually("it listens", || home.births() == 1);
    signal(daemon.id(), Signal::STOP);
    signal(daemon.id(), Signal::TERM);
    signal(daemon.id(), Signal::INT);
    let begun = Instant::now();
    signal(daemon.id(), Signal::CONT);
    daemon.wait().unwrap();
    assert!(begun.elapsed() < AT_ONCE);
}

#[test]
fn an_idle_daemon_that_nobody_asked_for_goes_and_a_started_one_stays() {
    let (idle, kept) = (Home::new(), Home::new());
    let begun = Instant::now();
    let start = |home: &Home, arguments: &[&str]| {
        let mut command = home.memoriad();
        command.args(arguments).env("MEMORIA_DAEMON_IDLE_EXIT_MIN", "1").spawn().unwrap()
    };
    let mut auto = start(&idle, &["--foreground", "--auto"]);
    let mut named = start(&kept, &["--foreground"]);
    eventually("both listen", || idle.births() == 1 && kept.births() == 1);
    assert!(auto.wait().unwrap().success());
    let after = begun.elapsed();
    assert!(after >= Duration::from_secs(60), "gone after {after:?}");
    assert!(idle.log().contains("stopping: Idle"));
    assert!(named.try_wait().unwrap().is_none());
    named.kill().unwrap();
    named.wait().unwrap();
}

/// What an agent is told by a shim whose daemon is killed so many times before it is ready, and how often one starts.
fn asked_through_deaths(deaths: usize) -> (serde_json::Value, usize) {
    let home = Home::new();
    let [memoria, memoriad] = public_programs(&home);
    let (starts, real) = (home.path().join("starts"), env!("CARGO_BIN_EXE_memoriad"));
    let count = format!("echo >> {0}; [ $(wc -l < {0}) -le {deaths} ]", starts.display());
    script(Path::new(&memoriad), &format!("#!/bin/sh\n{count} && kill -9 $$\nexec {real} \"$@\"\n"));
    let mut shim = Agent::of(Command::new(memoria).env("MEMORIA_HOME", home.path()).current_dir(home.path()));
    let answer = shim.ask("ping", json!({}));
    (answer, std::fs::read_to_string(starts).unwrap().lines().count())
}

#[test]
fn a_daemon_that_is_killed_while_it_starts_is_started_again_and_at_last_reported() {
    let (answer, starts) = asked_through_deaths(2);
    assert!(answer["result"].is_object() && starts == 3, "after {starts} starts: {answer}");
    let (answer, starts) = asked_through_deaths(1_000);
    let why = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert!(why.contains("died before it was ready") && starts == usize::from(ATTEMPTS_MAX), "{starts} starts: {why}");
}

#[test]
fn the_daemon_outlives_the_folder_that_it_was_started_in() {
    let home = Home::new();
    let folder = home.path().join("worktree");
    std::fs::create_dir(&folder).unwrap();
    assert!(home.memoria().arg("start").current_dir(&folder).status().unwrap().success());
    let cwd = std::fs::read_link(format!("/proc/{}/cwd", home.pid().unwrap())).unwrap();
    assert_eq!(cwd, home.data());
    std::fs::remove_dir(&folder).unwrap();
    stored(&{
        let mut agent = Agent::introduced(&home, "a");
        agent.begin_store("still here");
        agent.hear().unwrap()
    });
}

#[test]
fn captured_output_ends_with_the_command_and_no_descriptor_is_inherited() {
    let home = Home::new();
    let begun = Instant::now();
    // Descriptor 7 is what a careless parent leaves open: whoever reads its other end waits for the daemon.
    let script = "exec 7>&1; out=$(\"$0\" start 2>&1); echo \"got: $out\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_memoria")]).env("MEMORIA_HOME", home.path());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert!(said.contains("got: Started"), "{said}");
    assert!(begun.elapsed() < AT_ONCE);
    eventually("the one that it came from is gone", || home.daemons().len() == 1);
}

#[test]
fn only_the_allowed_part_of_the_environment_reaches_the_daemon() {
    let home = Home::new();
    let mut command = home.memoria();
    command.arg("start").env("AWS_SECRET_ACCESS_KEY", "hush").env("MEMORIA_LOG_LEVEL", "debug");
    assert!(command.status().unwrap().success());
    let environment = std::fs::read(format!("/proc/{}/environ", home.pid().unwrap())).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(!environment.contains("hush"), "{environment}");
    assert!(environment.contains("MEMORIA_LOG_LEVEL=debug"));
}

#[test]
fn one_data_folder_one_daemon() {
    let home = Home::new();
    let pid = home.start();
    for arguments in [&["--foreground", "--announce"][..], &["--daemonize", "--announce"], &["--daemonize"]] {
        let second = home.memoriad().args(arguments).output().unwrap();
        assert!(!second.status.success());
        let said = String::from_utf8_lossy(&second.stderr);
        assert!(said.contains(&format!("process {pid} serves")), "{said}");
        if arguments.contains(&"--announce") {
            assert!(String::from_utf8_lossy(&second.stdout).starts_with("failed lock-held "), "{second:?}");
        }
    }
    // Whoever detached says so before it ends.
    eventually("one daemon is left", || home.daemons() == [pid]);
}

#[test]
fn daemonize_refuses_an_activated_socket() {
    let home = Home::new();
    let refused = home.memoriad().args(["--daemonize", "--announce"]).env("LISTEN_FDS", "1").output().unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stdout);
    assert!(said.starts_with("failed other ") && said.contains("--foreground"), "{said}");
    assert_eq!(home.births(), 0);
}

#[test]
fn an_unknown_option_is_refused_in_a_sentence() {
    let home = Home::new();
    let refused = home.memoriad().arg("--frobnicate").output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("`--frobnicate` is not an option"));
}

#[test]
fn a_lost_socket_heals_within_one_start() {
    let home = Home::new();
    let before = home.start();
    std::fs::remove_file(home.socket()).unwrap();
    let mut agent = Agent::introduced(&home, "patient");
    agent.begin_store("found again");
    stored(&agent.hear().unwrap());
    assert_ne!(home.pid(), Some(before), "the deaf one made room");
    eventually("one daemon is left", || home.daemons().len() == 1);
}

#[test]
fn a_foreign_socket_in_our_place_is_neither_served_nor_removed() {
    let home = Home::new();
    let pid = home.start();
    std::fs::remove_file(home.socket()).unwrap();
    let squatter = UnixListener::bind(home.socket()).unwrap();
    eventually("the daemon makes room", || home.daemons().is_empty());
    assert!(home.log().contains("the socket has lost its path"), "process {pid}");
    assert!(home.socket().exists(), "what is not ours stays");
    drop(squatter);
}

#[test]
fn a_corrupt_store_is_reported_to_agents_and_people_and_left_as_it_is() {
    let home = Home::new();
    let mut agent = Agent::introduced(&home, "a");
    agent.begin_store("soon gone");
    stored(&agent.hear().unwrap());
    assert!(home.run(&["stop"]).status.success());
    let file = home.data().join("memoria.redb");
    let damaged = vec![0x5a; 64 << 10];
    std::fs::write(&file, &damaged).unwrap();
    agent.begin_store("into the ruins");
    let answer = agent.hear().unwrap();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(agent.ask("ping", json!({}))["result"].is_object(), "the session goes on");
    let said = home.run(&["list"]);
    assert!(!said.status.success());
    assert!(!said.stderr.is_empty());
    assert!(home.json(&["status"])["store_error"].is_string() || home.run(&["status"]).status.code().is_some());
    assert_eq!(std::fs::read(&file).unwrap(), damaged);
    agent.leave();
}

#[test]
fn a_folder_of_another_user_is_refused_with_the_command_that_mends_it() {
    assert!(is_root(), "this test gives files away, as root; run it where CI does");
    let home = Home::new();
    let [memoria, memoriad] = public_programs(&home);
    // The data folder is root's, and unreadable to others.
    home.start();
    assert!(home.run(&["stop"]).status.success());
    for command in
        [as_other(&memoriad, &home).args(["--foreground", "--announce"]), as_other(&memoria, &home).arg("start")]
    {
        let refused = command.output().unwrap();
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("belongs to user 0, not to you (user 65534)"), "{refused:?}");
    }
    let mut shim = as_other(&memoria, &home);
    let mut shim = shim.arg("mcp").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut shim.stdin.take().unwrap(), b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n")
        .unwrap();
    let output = shim.wait_with_output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["error"]["message"].as_str().unwrap().contains("belongs to user 0"), "{answer}");
}

#[test]
fn another_user_is_refused_on_both_sides_of_an_open_socket() {
    assert!(is_root(), "this test opens a socket to others, as root; run it where CI does");
    let home = Home::new();
    let [memoria, _] = public_programs(&home);
    home.start();
    // As if somebody had opened everything: the peer's user still decides.
    for path in [home.path().join("run"), home.socket()] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
    }
    let refused = as_other(&memoria, &home).arg("list").output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("belongs to user 0"), "the client: {refused:?}");
    let script = "$SIG{PIPE} = q(IGNORE); $s = IO::Socket::UNIX->new(Peer => $ARGV[0]); \
                  print $s qq(\\0) x 32; $s->flush; sysread($s, $answer, 4096); print $answer";
    let mut probe = as_other("/usr/bin/perl", &home);
    let answer = probe.args(["-MIO::Socket::UNIX", "-e", script]).arg(home.socket()).output().unwrap();
    let said = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(said.contains("belongs to user 65534"), "the daemon: {answer:?}");
}

#[test]
fn a_daemon_that_hangs_is_named_and_not_replaced() {
    let home = Home::new();
    let pid = home.start();
    signal(pid, Signal::STOP);
    let begun = Instant::now();
    let refused = home.run(&["list"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains(&format!("process {pid}")), "{refused:?}");
    assert!(begun.elapsed() >= Duration::from_secs(9), "silence is not death");
    assert_eq!(home.daemons(), [pid]);
    signal(pid, Signal::CONT);
    assert!(home.run(&["list"]).status.success(), "and it goes on where it was");
}
