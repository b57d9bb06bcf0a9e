//! The process `memoriad embed`: what becomes of a call when it dies, hangs, babbles or cannot find its runtime, and
//! that it leaves nothing behind. The runtime itself is not needed here: programs of a few lines stand for it.

#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memoria::config::Config;
use memoria::embed::child::Patience;
use memoria::embed::onnx::Onnx;
use memoria::embed::{Embedder, Side};
use memoria::error::{Error, ErrorKind, Result};

use crate::folders::tiny;
use crate::support::script;

/// Far longer than anything takes that is asked for here.
const LONG: Duration = Duration::from_secs(120);
/// So that a pause is not over before it was looked at.
const PAUSE: Duration = Duration::from_secs(4);
const PATIENT: Patience = Patience { start: LONG, text: LONG, pause: PAUSE };
const SOON: Patience = Patience { text: Duration::from_millis(20), ..PATIENT };

/// A shell script in the place of `memoriad embed`. `$0.pid` holds its process.
fn program(folder: &Path, lines: &str) -> PathBuf {
    let path = folder.join("program");
    script(&path, &format!("#!/bin/sh\necho $$ > \"$0.pid\"\n{lines}\n"));
    path
}

fn opened(folder: &Path, program: PathBuf, runtime: Option<&Path>, patience: Patience) -> Onnx {
    Onnx::open_with(&tiny(folder), runtime, &Config::default().embedding, program, patience).unwrap()
}

fn refusal(outcome: Result<Vec<Vec<f32>>>) -> Error {
    outcome.expect_err("it made vectors")
}

fn asked(script: &str, patience: Patience) -> (Error, Onnx, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let onnx = opened(folder.path(), program(folder.path(), script), None, patience);
    (refusal(onnx.embed(Side::Question, &["the cat"])), onnx, folder)
}

/// Answers `Ready` to the start, which is one frame.
const READY: &str = r"printf '\002\000\000\000rx'";

fn is_running(folder: &Path) -> bool {
    let pid = std::fs::read_to_string(folder.join("program.pid")).unwrap();
    Path::new("/proc").join(pid.trim()).exists()
}

#[test]
fn a_missing_runtime_is_said_with_what_installs_it() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = folder.path().join("libonnxruntime.so");
    std::fs::write(&nothing, "this is no library").unwrap();
    let onnx = opened(folder.path(), env!("CARGO_BIN_EXE_memoriad").into(), Some(&nothing), PATIENT);
    let error = refusal(onnx.embed(Side::Question, &["the cat"]));
    assert!(error.message.contains("memoria model install onnxruntime"), "{error}");
    assert!(error.message.contains(&nothing.display().to_string()), "{error}");
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[test]
fn a_process_that_dies_is_an_error_with_its_last_words() {
    let (error, onnx, _folder) = asked("echo first >&2; echo the disk is on fire >&2; exit 3", PATIENT);
    assert!(error.message.contains("the disk is on fire") && error.message.contains("exit status: 3"), "{error}");
    assert!(onnx.describe().contains("on fire"), "{}", onnx.describe());
}

#[test]
fn a_process_that_is_killed_in_mid_call_is_an_error_with_its_signal() {
    let (error, ..) = asked(&format!("{READY}; kill -ILL $$"), PATIENT);
    assert!(error.message.contains("signal: 4"), "{error}");
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[test]
fn a_process_that_hangs_is_ended() {
    let (error, _onnx, folder) = asked(&format!("{READY}; exec sleep 1000"), SOON);
    assert!(error.message.contains("did not answer within"), "{error}");
    assert!(!cfg!(target_os = "linux") || !is_running(folder.path()), "it is still there");
}

#[test]
fn a_process_that_babbles_is_an_error() {
    for script in
        ["cat /bin/sh", r"printf '\001\000\000\000?'", r"printf '\002\000\000\000vx'", "printf 'Hello, world'"]
    {
        let (error, ..) = asked(script, PATIENT);
        assert!(
            error.kind == ErrorKind::Unavailable && error.message.contains("process that makes vectors"),
            "{error}"
        );
    }
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let onnx = opened(folder.path(), folder.path().join("none"), None, PATIENT);
    let error = refusal(onnx.embed(Side::Question, &["the cat"]));
    assert!(error.message.contains("cannot start the process"), "{error}");
}

#[test]
fn after_a_failure_nobody_starts_it_for_a_while() {
    let (_, onnx, folder) = asked("exit 1", PATIENT);
    std::fs::remove_file(folder.path().join("program.pid")).unwrap();
    let error = refusal(onnx.embed(Side::Question, &["the cat"]));
    assert!(error.message.contains("It is tried again in") && error.is_retryable(), "{error}");
    assert!(!folder.path().join("program.pid").exists(), "it was started again");
    let until = Instant::now() + Duration::from_secs(60);
    while !folder.path().join("program.pid").exists() {
        assert!(Instant::now() < until, "it was never tried again");
        std::thread::sleep(Duration::from_millis(100));
        refusal(onnx.embed(Side::Question, &["the cat"]));
    }
}

#[test]
fn a_process_that_rests_is_gone() {
    // A vector of four numbers for each of twelve questions, in batches of eight; then it waits for its input to end.
    let folder = tempfile::tempdir().unwrap();
    let onnx = opened(folder.path(), program(folder.path(), &format!("{READY}; cat > /dev/null")), None, SOON);
    refusal(onnx.embed(Side::Question, &["the cat"]));
    onnx.rest();
    assert!(!cfg!(target_os = "linux") || !is_running(folder.path()), "it is still there");
}
