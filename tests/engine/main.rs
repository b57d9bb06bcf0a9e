//! The embedded engine: it keeps every law of `engine/conformance.rs`, agrees with a naive model, and survives
//! power cuts, full disks and damaged files.

mod compact;
mod copied;
mod cut_short;
mod damage;
mod disk_full;
mod disks;
mod erase;
#[path = "../support/eventful.rs"]
mod eventful;
mod formats;
mod laws;
mod model;
mod pages;
mod power_cut;
mod scanner;
// What only tests/matrixone uses is left over here.
#[allow(dead_code)]
#[path = "../matrixone/server.rs"]
mod server;
mod sessions;
mod vectors;

use std::path::Path;

use memoria::engine::embedded::Embedded;
use memoria::error::Result;

pub const CACHE_BYTES: usize = 1 << 20;

pub fn open(home: &Path) -> Result<Embedded> {
    std::fs::create_dir_all(home.join("derived")).unwrap();
    Embedded::open(&home.join("memoria.redb"), &home.join("derived/index"), &home.join("derived/vectors"), CACHE_BYTES)
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// How often a random test runs: a few times by default, as often as `MEMORIA_ROUNDS` says otherwise.
pub fn rounds(default: u64) -> u64 {
    std::env::var("MEMORIA_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}

/// The seed of a random test, printed so that a failure can be had again with `MEMORIA_SEED`.
pub fn seed() -> u64 {
    let given = std::env::var("MEMORIA_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| memoria::clock::now().0 as u64);
    println!("SEED={seed}");
    seed
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Rng(pub u64);

impl Rng {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end.max(1)
    }
}
