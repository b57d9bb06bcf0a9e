//! The service files as `memoria service install` writes them: judged by systemd itself, and started under
//! `systemd-socket-activate` with a socket for the notification of readiness. No test touches the user's own services.
//! Where a tool is missing the test says so; in CI (`CI` is set) that is a failure.
#![cfg(target_os = "linux")]

mod support;

use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Agent, Home, eventually, script, signal, stored};

/// Whether a tool can be run at all.
fn has(tool: &str) -> bool {
    let is_there = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(is_there || std::env::var_os("CI").is_none(), "{tool} is missing: .ci/run installs it");
    if !is_there {
        eprintln!("SKIPPED: {tool} is not installed");
    }
    is_there
}

/// A home whose user has no service manager.
struct Service {
    home: Home,
}

impl Service {
    fn new() -> Self {
        let home = Home::new();
        std::fs::DirBuilder::new().mode(0o700).create(home.path().join("xdg")).unwrap();
        Self { home }
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = self.home.memoria();
        command.arg("service").args(words).env_remove("XDG_CONFIG_HOME").env_remove("DBUS_SESSION_BUS_ADDRESS");
        command.env("HOME", self.home.path()).env("XDG_RUNTIME_DIR", self.home.path().join("xdg")).output().unwrap()
    }

    fn unit(&self, name: &str) -> PathBuf {
        self.home.path().join(".config/systemd/user").join(name)
    }

    fn value(&self, unit: &str, key: &str) -> String {
        let text = std::fs::read_to_string(self.unit(unit)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
        line.unwrap_or_else(|| panic!("{unit} has no {key}")).to_owned()
    }
}

#[test]
fn without_a_service_manager_install_writes_the_files_and_says_so() {
    let service = Service::new();
    let output = service.run(&["install"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(said.contains("memoriad.service") && said.contains("nothing will start it"), "{said}");
    assert_eq!(service.value("memoriad.socket", "ListenStream"), service.home.socket().display().to_string());
    let program = service.value("memoriad.service", "ExecStart");
    assert_eq!(program, format!("{} --foreground", env!("CARGO_BIN_EXE_memoriad")));
    let writable = service.value("memoriad.service", "ReadWritePaths");
    assert!(writable.split(' ').any(|path| Path::new(path) == service.home.data()), "{writable}");

    let status = service.run(&["status", "--json"]);
    let answer: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(
        (&answer["installed"], &answer["current"], &answer["enabled"]),
        (&json!(true), &json!(true), &json!(false))
    );
    assert_eq!(status.status.code(), Some(3));

    assert!(service.run(&["uninstall"]).status.success());
    assert!(!service.unit("memoriad.service").exists() && !service.unit("memoriad.socket").exists());
    assert_eq!(service.run(&["uninstall"]).status.code(), Some(4));
    assert_eq!(service.run(&["status"]).status.code(), Some(4));
}

#[test]
fn an_installed_link_is_written_as_it_is_and_not_resolved() {
    let service = Service::new();
    let bin = service.home.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for (name, program) in [("memoria", env!("CARGO_BIN_EXE_memoria")), ("memoriad", env!("CARGO_BIN_EXE_memoriad"))] {
        std::os::unix::fs::symlink(program, bin.join(name)).unwrap();
    }
    let mut command = Command::new("memoria");
    command.args(["service", "install"]).env("PATH", &bin).env("HOME", service.home.path());
    command.env("MEMORIA_HOME", service.home.path()).env_remove("XDG_CONFIG_HOME");
    command.env_remove("DBUS_SESSION_BUS_ADDRESS").env("XDG_RUNTIME_DIR", service.home.path().join("xdg"));
    // `Command` looks for the program in the child's PATH.
    assert_eq!(command.output().unwrap().status.code(), Some(3));
    assert_eq!(service.value("memoriad.service", "ExecStart"), format!("{}/memoriad --foreground", bin.display()));
}

/// Plays `systemctl --user`: writes down what it is asked, starts the daemon when it is enabled, ends it when disabled.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$*" >> "$MEMORIA_HOME/asked"
case "$*" in
*"enable --now"*) "$MEMORIAD" --foreground > /dev/null 2>&1 < /dev/null & ;;
*"disable --now"*) kill "$(cat "$MEMORIA_HOME/data/memoria.lock")" ;;
esac
"#;

#[test]
fn install_drains_the_running_daemon_and_hears_from_the_new_one() {
    let service = Service::new();
    let home = &service.home;
    let bin = home.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    script(&bin.join("systemctl"), SYSTEMCTL);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let run = |word: &str| {
        let mut command = home.memoria();
        command.args(["service", word, "--json"]).env("PATH", &path).env("HOME", home.path());
        command.env_remove("XDG_CONFIG_HOME").env("MEMORIAD", env!("CARGO_BIN_EXE_memoriad"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{word}: {output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let before = home.start();
    let installed = run("install");
    assert_eq!(installed["drained"], before);
    assert_ne!(installed["pid"], before);
    assert_eq!(home.json(&["status"])["pid"], installed["pid"]);
    assert_eq!(run("status")["enabled"], true);
    run("uninstall");
    home.await_no_daemon();
    let asked = std::fs::read_to_string(home.path().join("asked")).unwrap();
    let place = |what: &str| asked.find(what).unwrap_or_else(|| panic!("{what} was not asked:\n{asked}"));
    let units = "memoriad.socket memoriad.service";
    let order = [
        "daemon-reload".to_owned(),
        format!("stop {units}"),
        format!("enable --now {units}"),
        format!("disable --now {units}"),
    ];
    assert!(order.map(|what| place(&what)).is_sorted(), "{asked}");
}

#[test]
fn systemd_finds_nothing_to_say_against_the_units() {
    if !has("systemd-analyze") {
        return;
    }
    let service = Service::new();
    service.run(&["install"]);
    let verify = |files: &[PathBuf]| {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--user"]).args(files).env("XDG_RUNTIME_DIR", service.home.path().join("xdg"));
        command.output().unwrap()
    };
    let units = [service.unit("memoriad.service"), service.unit("memoriad.socket")];
    let output = verify(&units);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");

    // The check has teeth: the same unit with a mistake is refused.
    let text = std::fs::read_to_string(&units[0]).unwrap().replace("Type=notify", "Type=notifi");
    std::fs::write(&units[0], text).unwrap();
    assert!(!verify(&units).stderr.is_empty());
}

#[test]
fn an_activated_daemon_says_that_it_is_ready_serves_and_leaves_the_socket() {
    if !has("systemd-socket-activate") {
        return;
    }
    let service = Service::new();
    service.run(&["install"]);
    let notified = UnixDatagram::bind(service.home.path().join("notify")).unwrap();
    notified.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut activated = activate(&service, &service.home.path().join("notify"));
    eventually("systemd-socket-activate listens", || service.home.socket().exists());

    let mut agent = Agent::introduced(&service.home, "claude-code");
    let id = agent.begin_store("The socket was there before the daemon");
    let answer = agent.hear().unwrap();
    assert_eq!(answer["id"], id);
    stored(&answer);
    let mut message = [0; 4096];
    let size = notified.recv(&mut message).expect("no notification came");
    let message = String::from_utf8_lossy(&message[..size]).into_owned();
    assert!(message.lines().any(|line| line == "READY=1"), "{message}");
    assert_eq!(service.home.daemons(), [activated.id()], "the shim must not have started a second one");

    agent.leave();
    signal(activated.id(), Signal::TERM);
    assert!(activated.wait().unwrap().success());
    let is_socket = std::fs::symlink_metadata(service.home.socket()).is_ok_and(|meta| meta.file_type().is_socket());
    assert!(is_socket, "the daemon removed a socket that is not its own");
}

/// What the units say, under the tool that plays systemd: the socket's path, the program and its arguments.
fn activate(service: &Service, notify: &Path) -> Child {
    let program = service.value("memoriad.service", "ExecStart");
    let mut command = Command::new("systemd-socket-activate");
    command.arg("-l").arg(service.value("memoriad.socket", "ListenStream"));
    command.arg("-E").arg(format!("MEMORIA_HOME={}", service.home.path().display()));
    command.arg("-E").arg(format!("NOTIFY_SOCKET={}", notify.display()));
    command.args(program.split(' ')).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn the_plist_is_one() {
    if !has("python3") {
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("launchd/dev.memoria.memoriad.plist");
    let script = "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let output = Command::new("python3").args(["-c", script]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let plist: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plist["Label"], "dev.memoria.memoriad");
    assert_eq!(plist["ProgramArguments"], json!(["/usr/local/bin/memoriad", "--foreground"]));
    assert_eq!((&plist["RunAtLoad"], &plist["KeepAlive"]), (&json!(true), &json!({"SuccessfulExit": false})));
    assert_eq!((&plist["ProcessType"], &plist["StandardOutPath"]), (&json!("Background"), &json!("/dev/null")));
}
