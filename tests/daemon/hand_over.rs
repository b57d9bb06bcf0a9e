//! Two versions on one machine: the newer client replaces the older daemon, and never the other way round.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use memoria::model::SessionId;
use memoria::wire::hello::{Build, Greeting, HELLO_BYTES, Hello, Role};
use memoria::wire::limits::REPLY_BYTES_MAX;
use memoria::wire::message::{Ask, Envelope, Opened, Request, StopReason, ToClient, ToDaemon};
use memoria::wire::{codec, frame};

use crate::support::{Home, eventually};

/// A daemon of another build: holds the lock, greets, and tells the first thing that it is asked.
fn stand_in(home: &Home, build: Build) -> std::thread::JoinHandle<Request> {
    home.start();
    assert!(home.run(&["stop"]).status.success());
    let lock = File::options().write(true).open(home.data().join("memoria.lock")).unwrap();
    lock.try_lock().unwrap();
    let listener = UnixListener::bind(home.socket()).unwrap();
    let path = home.socket();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; HELLO_BYTES]).unwrap();
        let own = Hello { build, ..Hello::own(Role::Daemon) };
        stream.write_all(&own.to_bytes(Greeting::Ack)).unwrap();
        let (serial, _) = read(&mut stream);
        let opened = Opened { session: SessionId::new("cli").unwrap(), version: build.to_string(), pid: own.pid };
        let answer = Envelope { serial, body: ToClient::Opened(opened) };
        stream.write_all(&frame::encode(&answer, REPLY_BYTES_MAX).unwrap()).unwrap();
        let (_, body) = read(&mut stream);
        std::fs::remove_file(path).unwrap();
        drop((listener, lock));
        match body {
            ToDaemon::Ask(Ask { request, .. }) => request,
            other => panic!("{other:?}"),
        }
    })
}

fn read(stream: &mut UnixStream) -> (u32, ToDaemon) {
    let mut header = [0; 4];
    stream.read_exact(&mut header).unwrap();
    let mut body = vec![0; u32::from_le_bytes(header) as usize];
    stream.read_exact(&mut body).unwrap();
    let Envelope { serial, body } = codec::decode(&body).unwrap();
    (serial, body)
}

#[test]
fn an_older_daemon_is_asked_to_hand_over_and_replaced() {
    let home = Home::new();
    let older = stand_in(&home, Build([0, 0, 1]));
    let said = home.run(&["store", "kept by the newer one"]);
    assert!(said.status.success(), "{said:?}");
    assert_eq!(older.join().unwrap(), Request::Stop(StopReason::HandOver));
    eventually("one daemon is left", || home.daemons().len() == 1);
}

#[test]
fn a_newer_daemon_is_never_replaced() {
    let home = Home::new();
    let newer = stand_in(&home, Build([99, 0, 0]));
    // It ends over the question, so that the command finds its own daemon in the end.
    assert!(home.run(&["store", "anybody keeps it"]).status.success());
    assert!(matches!(newer.join().unwrap(), Request::Store(_)));
}
