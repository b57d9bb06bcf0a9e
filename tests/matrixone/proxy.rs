//! A way to a server that fails: it cuts in mid-statement, delays, falls silent, resets or refuses, as it is told.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::Chance;

/// What happens on the way from now on, to new connections and to those that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Clear,
    /// Every connection ends after some number of bytes below this, of both directions together.
    Cuts {
        bytes_max: u64,
    },
    /// Before each piece that is handed on.
    Slow(Duration),
    /// Nothing is handed on, and nobody is told.
    Silent,
    /// Whoever comes is sent away with a reset, and so is whoever is there.
    Refuses,
}

pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: u16,
    weather: Mutex<Weather>,
    chance: Mutex<Chance>,
    /// Connections that were ended by the weather.
    cuts: AtomicU64,
    is_over: AtomicBool,
}

impl Proxy {
    pub fn to(upstream: u16, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream,
            weather: Mutex::new(Weather::Clear),
            chance: Mutex::new(Chance(seed)),
            cuts: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                std::thread::spawn(move || shared.carry(stream.unwrap()));
            }
        });
        Self { port, shared }
    }

    pub fn set(&self, weather: Weather) {
        *self.shared.weather.lock().unwrap() = weather;
    }

    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Its listener waits for somebody.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap()
    }

    fn carry(self: Arc<Self>, client: TcpStream) {
        if self.weather() == Weather::Refuses {
            return self.cut(&client);
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.upstream)) else { return reset(&client) };
        let left = Arc::new(Mutex::new(self.budget()));
        let ways = [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
        for (from, to) in ways {
            let (shared, left) = (Arc::clone(&self), Arc::clone(&left));
            std::thread::spawn(move || shared.pump(from, to, &left));
        }
    }

    /// Bytes that a new connection lives for.
    fn budget(&self) -> Option<u64> {
        match self.weather() {
            Weather::Cuts { bytes_max } => Some(self.chance.lock().unwrap().below(bytes_max)),
            _ => None,
        }
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, left: &Mutex<Option<u64>>) {
        from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut bytes = [0; 16 << 10];
        while !self.is_over.load(Ordering::Relaxed) {
            if self.weather() == Weather::Refuses {
                return self.cut(&from);
            }
            let read = match from.read(&mut bytes) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => continue,
                Err(_) => break,
            };
            while self.weather() == Weather::Silent && !self.is_over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
            if let Weather::Slow(delay) = self.weather() {
                std::thread::sleep(delay);
            }
            let mut left = left.lock().unwrap();
            let allowed = left.map_or(read as u64, |left| left.min(read as u64)) as usize;
            let is_sent = to.write_all(&bytes[..allowed]).is_ok();
            if let Some(left) = left.as_mut() {
                *left -= allowed as u64;
            }
            if allowed < read {
                drop(left);
                let _ = to.shutdown(Shutdown::Both);
                return self.cut(&from);
            }
            if !is_sent {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    fn cut(&self, stream: &TcpStream) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
        reset(stream);
    }
}

/// Without a goodbye.
fn reset(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let _ = socket.set_linger(Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Both);
}
