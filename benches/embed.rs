//! How long a vector takes: `cargo bench --bench embed`. One thread; ratios are of one run.

use std::time::Instant;

use memoria::embed::builtin::Builtin;
use memoria::embed::{Embedder, Side};

/// What people store and ask, of our own.
const SHORT: &[&str] = &[
    "Which port does the billing service listen on?",
    "The user prefers tabs in Go and spaces everywhere else.",
    "Run `make migrate` before the integration tests, or they fail with a missing table.",
    "Marta adopted a beagle puppy in spring and walks it along the river every morning.",
    "AuthMiddleware refuses refresh_token requests without an Authorization header.",
];
const ROUNDS: usize = 2_000;

fn main() {
    let begun = Instant::now();
    let builtin = Builtin::new().expect("the table");
    println!("builtin opened in {:.1?}: {}", begun.elapsed(), builtin.describe());
    one_by_one("builtin", &builtin);
}

/// The median of the rounds, each over all texts.
fn one_by_one(name: &str, embedder: &dyn Embedder) {
    let mut micros: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            for text in SHORT {
                std::hint::black_box(embedder.embed(Side::Passage, &[text]).expect("a vector"));
            }
            begun.elapsed().as_secs_f64() * 1e6 / SHORT.len() as f64
        })
        .collect();
    micros.sort_by(f64::total_cmp);
    println!("{name}: {:.1} us a short text (p50), {:.1} us (p99)", micros[ROUNDS / 2], micros[ROUNDS * 99 / 100]);
}
