//! Hosts on this machine that answer as a test tells them to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use socket2::{Domain, Socket, Type};

/// A port where nobody listens, nor can begin to, for as long as the socket lives.
pub fn nobody() -> (u16, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    (socket.local_addr().unwrap().as_socket().unwrap().port(), socket)
}

/// What a host was sent.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// `POST /v1/embeddings HTTP/1.1`
    pub first: String,
    /// As they came.
    pub headers: Vec<String>,
    pub body: Vec<u8>,
}

impl Sent {
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&String| line.split(':').next().is_some_and(|known| known.eq_ignore_ascii_case(name));
        self.headers.iter().find(named).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The texts of a request for vectors.
    pub fn texts(&self) -> Vec<String> {
        let json = self.json();
        json["input"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    }
}

/// A host; it ends with the process, as its connections do.
pub struct Host {
    pub port: u16,
    seen: Arc<Mutex<Vec<Sent>>>,
}

impl Host {
    /// Each connection carries one request; `answer` is told which one in order it is, and writes what it wants.
    pub fn new(answer: impl Fn(usize, &Sent, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<Sent>>> = Arc::default();
        let (theirs, answer) = (Arc::clone(&seen), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&theirs), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let Some((sent, mut stream)) = read(stream) else { return };
                    let number = {
                        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                        seen.push(sent.clone());
                        seen.len() - 1
                    };
                    answer(number, &sent, &mut stream);
                });
            }
        });
        Self { port, seen }
    }

    /// One that says the same to everybody.
    pub fn saying(reply: impl Into<Vec<u8>>) -> Self {
        let reply = reply.into();
        // A client that has heard enough hangs up.
        Self::new(move |_, _, stream| drop(stream.write_all(&reply)))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn seen(&self) -> Vec<Sent> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(stream: TcpStream) -> Option<(Sent, TcpStream)> {
    let mut input = BufReader::new(stream);
    let mut sent = Sent::default();
    input.read_line(&mut sent.first).ok()?;
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        sent.headers.push(line.to_owned());
    }
    let bytes = sent.header("content-length").map_or(0, |text| text.parse().unwrap());
    sent.body = vec![0; bytes];
    input.read_exact(&mut sent.body).ok()?;
    sent.first = sent.first.trim_end().to_owned();
    Some((sent, input.into_inner()))
}

pub fn reply(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// What an honest endpoint answers: a vector that depends on the text alone, as `vector` makes it.
pub fn vectors(sent: &Sent, vector: impl Fn(&str) -> Vec<f32>) -> String {
    let items: Vec<_> = (sent.texts().iter().enumerate())
        .map(|(index, text)| serde_json::json!({ "object": "embedding", "index": index, "embedding": vector(text) }))
        .collect();
    let body = serde_json::json!({ "object": "list", "data": items, "model": "m" }).to_string();
    reply("200 OK", "Content-Type: application/json\r\n", &body)
}

/// Four dimensions: how often a few letters are in the text.
pub fn letters(text: &str) -> Vec<f32> {
    "aeio".chars().map(|letter| 1.0 + text.chars().filter(|c| *c == letter).count() as f32).collect()
}
