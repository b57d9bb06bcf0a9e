//! Bytes from anybody: whatever a peer sends, the daemon refuses it in order and goes on serving the others.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use memoria::model::OpId;
use memoria::wire::frame;
use memoria::wire::hello::{Greeting, HELLO_BYTES, Hello, Role};
use memoria::wire::limits::{FRAME_BYTES_MAX, HELLO_WITHIN, REQUEST_BYTES_MAX};
use memoria::wire::message::{Ask, ClientKind, Envelope, Open, Request, ToDaemon};
use serde::Serialize;
use serde_json::json;

use crate::support::{Agent, Home, eventually};

fn connect(home: &Home) -> UnixStream {
    let stream = UnixStream::connect(home.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

fn greeted(home: &Home) -> UnixStream {
    let mut stream = connect(home);
    stream.write_all(&Hello::own(Role::Cli).to_bytes(Greeting::Hello)).unwrap();
    let mut answer = [0; HELLO_BYTES];
    stream.read_exact(&mut answer).unwrap();
    let (greeting, daemon) = Hello::from_bytes(&answer).unwrap();
    assert_eq!((greeting, daemon.role, Some(daemon.pid)), (Greeting::Ack, Role::Daemon, home.pid()));
    stream
}

fn frames(body: ToDaemon) -> Vec<u8> {
    encoded(&Envelope { serial: 1, body })
}

fn encoded<T: Serialize>(message: &T) -> Vec<u8> {
    frame::encode(message, REQUEST_BYTES_MAX).unwrap()
}

fn open() -> Vec<u8> {
    let nonce = OpId::nonce();
    frames(ToDaemon::Open(Open { client: ClientKind::Cli, nonce, project: None, cwd: "/".into(), pid: 1 }))
}

fn opened(home: &Home) -> UnixStream {
    let mut stream = greeted(home);
    stream.write_all(&open()).unwrap();
    read_frame(&mut stream);
    stream
}

fn read_frame(stream: &mut UnixStream) -> Vec<u8> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).unwrap();
    let mut body = vec![0; u32::from_le_bytes(header) as usize];
    stream.read_exact(&mut body).unwrap();
    body
}

/// The daemon ends the connection; what it still said.
fn end_of(mut stream: UnixStream) -> Vec<u8> {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Err(e) if e.kind() != ErrorKind::ConnectionReset => panic!("the daemon kept the connection: {e}"),
        _ => rest,
    }
}

/// A witness that was there before, and somebody new: both are served.
fn assert_healthy(home: &Home, witness: &mut Agent, after: &str) {
    assert!(witness.ask("ping", json!({}))["result"].is_object(), "after {after}");
    opened(home);
}

#[test]
fn hostile_bytes_end_their_own_connection_and_no_other() {
    let home = Home::new();
    let pid = home.start();
    let mut witness = Agent::introduced(&home, "witness");
    let mut hostile: Vec<(String, Vec<u8>)> = Vec::new();
    let (max, more) = (FRAME_BYTES_MAX as u32, 1u32 << 31);
    for length in [0, max + 1, more, more | (max + 1), u32::MAX] {
        hostile.push((format!("length {length:#x}"), length.to_le_bytes().to_vec()));
    }
    for length in [1, 3, 4, max] {
        let bytes = [&length.to_le_bytes()[..], &vec![0xff; length as usize]].concat();
        hostile.push((format!("{length} bytes of garbage"), bytes));
    }
    let mut trailing = frames(ToDaemon::Cancel(1));
    trailing.push(0);
    let length = (trailing.len() - 4) as u32;
    trailing[..4].copy_from_slice(&length.to_le_bytes());
    hostile.push(("trailing bytes".into(), trailing));
    hostile.push(("an unknown tag".into(), encoded(&(1u32, 77u32, 0u32))));
    hostile.push((
        "a length of 2^63 in a message".into(),
        [&11u32.to_le_bytes()[..], &[0, 3, 253, 0, 0, 0, 0, 0, 0, 0, 128]].concat(),
    ));
    hostile.push(("a second Open".into(), open()));
    hostile.push(("3 MiB in frames".into(), {
        let part = [&(max | more).to_le_bytes()[..], &vec![1; FRAME_BYTES_MAX]].concat();
        part.repeat(3)
    }));
    for (what, bytes) in &hostile {
        let mut stream = opened(&home);
        // The daemon may end it before it has read everything.
        let _ = stream.write_all(bytes);
        end_of(stream);
        assert_healthy(&home, &mut witness, what);
    }
    let mut asked_first = greeted(&home);
    let op = OpId { nonce: OpId::nonce(), line: 1 };
    let ask = Ask { op, attempt: 1, is_replay: false, request: Request::Status };
    asked_first.write_all(&frames(ToDaemon::Ask(ask))).unwrap();
    end_of(asked_first);
    assert_healthy(&home, &mut witness, "a question before Open");
    assert_eq!(home.daemons(), [pid]);
}

#[test]
fn truncated_messages_and_half_closed_sockets_end_in_order() {
    let home = Home::new();
    let pid = home.start();
    let mut witness = Agent::introduced(&home, "witness");
    let whole = open();
    for end in 0..whole.len() {
        let mut stream = greeted(&home);
        stream.write_all(&whole[..end]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(end_of(stream).is_empty(), "{end} bytes");
    }
    // Half-closed after a question: there is an answer or an end, never a hang.
    let mut stream = opened(&home);
    let op = OpId { nonce: OpId::nonce(), line: 1 };
    stream
        .write_all(&frames(ToDaemon::Ask(Ask { op, attempt: 1, is_replay: false, request: Request::Status })))
        .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    end_of(stream);
    assert_healthy(&home, &mut witness, "truncation");
    assert_eq!(home.daemons(), [pid]);
}

#[test]
fn garbage_instead_of_hello_is_refused_with_a_reason() {
    let home = Home::new();
    home.start();
    let mut stream = connect(&home);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let answer = end_of(stream);
    let (greeting, _) = Hello::from_bytes(answer[..HELLO_BYTES].try_into().unwrap()).unwrap();
    assert_eq!(greeting, Greeting::Refused);
    assert!(String::from_utf8_lossy(&answer[HELLO_BYTES..]).contains("does not speak Memoria's protocol"));
}

#[test]
fn another_protocol_is_refused_in_a_sentence_that_names_both_sides() {
    let home = Home::new();
    let pid = home.start();
    let mut stream = connect(&home);
    let other = Hello { major: 2, ..Hello::own(Role::Cli) };
    stream.write_all(&other.to_bytes(Greeting::Hello)).unwrap();
    let answer = end_of(stream);
    let sentence = String::from_utf8_lossy(&answer[HELLO_BYTES + 2..]).into_owned();
    for part in ["protocol 2", "protocol 1", &pid.to_string(), &other.pid.to_string(), "memoria restart"] {
        assert!(sentence.contains(part), "{sentence}");
    }
}

#[test]
fn slow_and_silent_peers_are_cut_off_while_others_are_served() {
    let home = Home::new();
    let pid = home.start();
    let mut witness = Agent::introduced(&home, "witness");
    // Silent from the start, after Hello, and in the middle of a frame.
    let silent: Vec<UnixStream> = (0..300).map(|_| connect(&home)).collect();
    let mut dribbling = opened(&home);
    dribbling.write_all(&100u32.to_le_bytes()).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < HELLO_WITHIN {
        assert!(witness.ask("ping", json!({}))["result"].is_object());
        std::thread::sleep(Duration::from_millis(50));
    }
    for byte in 0..4 {
        let _ = dribbling.write_all(&[byte]);
        std::thread::sleep(Duration::from_secs(1));
    }
    for stream in silent {
        end_of(stream);
    }
    end_of(dribbling);
    assert_healthy(&home, &mut witness, "silence");
    assert_eq!(home.daemons(), [pid]);
}

#[test]
fn a_client_that_reads_no_answers_holds_up_nobody_else() {
    let home = Home::new();
    home.start();
    let mut witness = Agent::introduced(&home, "witness");
    let mut deaf = opened(&home);
    deaf.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    for line in 0..100_000 {
        let op = OpId { nonce: [1; 16], line };
        let ask = Ask { op, attempt: 1, is_replay: false, request: Request::Status };
        if deaf.write_all(&frames(ToDaemon::Ask(ask))).is_err() {
            break;
        }
    }
    assert_healthy(&home, &mut witness, "a deaf client");
    let rss = std::fs::read_to_string(format!("/proc/{}/status", home.pid().unwrap())).unwrap();
    let rss = rss.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim().to_owned();
    println!("resident with a deaf client: {rss}");
}

#[test]
fn a_thousand_connections_leave_no_descriptor_behind() {
    let home = Home::new();
    let pid = home.start();
    let count = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    // The store is opened behind the first greeting, and stays open.
    home.json(&["list"]);
    let sessions = || home.json(&["status"])["sessions"].as_array().unwrap().len();
    eventually("only the command that asks is there", || sessions() == 1);
    let before = count();
    for round in 0..1000 {
        match round % 3 {
            0 => drop(connect(&home)),
            1 => drop(greeted(&home)),
            _ => drop(opened(&home)),
        }
    }
    eventually("descriptors are given back", || count() <= before);
    eventually("only the command that asks is there", || sessions() == 1);
}
