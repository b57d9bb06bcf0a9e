//! Requests over HTTP: what is sent, what is read, what is refused, and that no wait is without end.

use std::io::{Read, Write};
use std::time::Duration;

use memoria::embed::http::client::{Patience, Redirects, get, post};
use memoria::error::{ErrorKind, Result};

use crate::hosts::{Host, nobody, reply};

const ENOUGH: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);
const LONGER: Duration = Duration::from_secs(4);

fn fetched(url: &str, redirects: Redirects) -> Result<(u16, String)> {
    let mut found = get(url, &[("Authorization", "Bearer k")], Patience::of(ENOUGH), redirects)?;
    let mut text = String::new();
    found.read_to_string(&mut text).map_err(|e| memoria::error::Error::unavailable(e.to_string()))?;
    Ok((found.status, text))
}

fn body_of(raw: &str) -> Result<(u16, String)> {
    fetched(&Host::saying(raw).url("/"), Redirects::Refuse)
}

#[test]
fn a_body_is_read_in_each_way_that_http_frames_it() {
    for raw in [
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world and more",
        "HTTP/1.1 200 OK\r\n\r\nhello world",
        "HTTP/1.0 200\r\n\r\nhello world",
        "HTTP/1.1 200 OK\nContent-Length:11\n\nhello world",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: z\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
    ] {
        assert_eq!(body_of(raw).unwrap(), (200, "hello world".to_owned()), "{raw}");
    }
    assert_eq!(body_of("HTTP/1.1 204 No Content\r\n\r\n").unwrap(), (204, String::new()));
    assert_eq!(body_of(&reply("404 Not Found", "", "gone")).unwrap(), (404, "gone".to_owned()));
}

#[test]
fn what_is_not_a_whole_reply_is_an_error() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    for raw in [
        "",
        "hello",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 999 X\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello world",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello world\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello",
        &long,
        &"HTTP/1.1 100 Continue\r\n\r\n".repeat(20),
    ] {
        let shown = &raw[..raw.len().min(80)];
        assert_eq!(body_of(raw).map_err(|e| e.kind), Err(ErrorKind::Unavailable), "{shown}");
    }
}

#[test]
fn a_request_is_what_it_should_be() {
    let host = Host::saying(reply("200 OK", "", "x"));
    post(&host.url("/a?b=c"), &[("X-A", "b")], b"{}", Patience::of(ENOUGH)).unwrap();
    let sent = &host.seen()[0];
    assert_eq!((sent.first.as_str(), sent.body.as_slice()), ("POST /a?b=c HTTP/1.1", &b"{}"[..]));
    assert_eq!(sent.header("host"), Some(format!("127.0.0.1:{}", host.port).as_str()));
    assert_eq!((sent.header("x-a"), sent.header("connection")), (Some("b"), Some("close")));
    let error =
        post(&host.url("/"), &[("Authorization", "Bearer a\r\nX: y")], b"", Patience::of(ENOUGH)).err().unwrap();
    assert!(error.kind == ErrorKind::Invalid && !error.message.contains("Bearer"), "{error}");
    assert_eq!(host.seen().len(), 1);
}

#[test]
fn a_redirect_is_followed_only_where_the_caller_says_so() {
    let there = Host::saying(reply("200 OK", "", "there"));
    let location = format!("Location: {}\r\n", there.url("/x"));
    let here = Host::saying(reply("302 Found", &location, "elsewhere"));
    assert_eq!(fetched(&here.url("/"), Redirects::Refuse).unwrap(), (302, "elsewhere".to_owned()));
    assert!(there.seen().is_empty());
    assert_eq!(fetched(&here.url("/"), Redirects::Follow).unwrap(), (200, "there".to_owned()));
    assert_eq!(here.seen()[1].header("authorization"), Some("Bearer k"));
    assert_eq!(there.seen()[0].header("authorization"), None, "another host gets no key");
}

#[test]
fn redirects_in_a_circle_end() {
    let host = Host::saying(reply("301 Moved", "Location: /again\r\n", ""));
    let error = fetched(&host.url("/"), Redirects::Follow).unwrap_err();
    assert!(error.message.contains("from address to address"), "{error}");
    assert!(host.seen().len() < 10 && host.seen()[1].header("authorization").is_some(), "the same host keeps the key");
}

#[test]
fn a_host_that_says_nothing_is_given_up() {
    let host = Host::new(|_, _, _| std::thread::sleep(ENOUGH));
    let error = get(&host.url("/"), &[], Patience::of(SHORT), Redirects::Refuse).err().unwrap();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("the time for it is over"), "{error}");
}

#[test]
fn a_host_that_trickles_is_given_up_when_the_time_is_over() {
    let host = Host::new(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    // Its first words must have come by then.
    let mut found = get(&host.url("/"), &[], Patience::of(LONGER), Redirects::Refuse).unwrap();
    assert_eq!(found.body(1_000_000).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn a_body_that_is_too_long_is_not_read() {
    let long = Host::saying("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
    let endless = Host::new(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 65_536]).is_ok() {}
    });
    for host in [long, endless] {
        let mut found = get(&host.url("/"), &[], Patience::of(ENOUGH), Redirects::Refuse).unwrap();
        assert_eq!(found.body(1_000).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
    }
}

#[test]
fn nobody_there_is_said_with_the_address() {
    let (port, _held) = nobody();
    let error =
        get(&format!("http://127.0.0.1:{port}/secret"), &[], Patience::of(ENOUGH), Redirects::Refuse).err().unwrap();
    assert!(error.message.contains(&format!("cannot reach http://127.0.0.1:{port}: ")), "{error}");
    assert!(error.is_retryable());
}

#[test]
fn a_host_that_does_not_encrypt_is_not_taken_for_one_that_does() {
    let host = Host::saying(reply("200 OK", "", "x"));
    let url = host.url("/").replace("http:", "https:");
    let error = get(&url, &[("Authorization", "Bearer k")], Patience::of(ENOUGH), Redirects::Refuse).err().unwrap();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("curl: ("), "{error}");
    assert!(host.seen().iter().all(|sent| sent.header("authorization").is_none()));
}
