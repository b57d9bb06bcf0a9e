//! What a vector of MiniLM costs on one thread, by each kind of instructions that this CPU has, for a short text, for
//! 128 tokens and for 256, and for 32 short texts at once: `cargo bench --bench minilm FILE`, where FILE is the
//! `encoder.bin` that `memoria model install minilm` leaves in the folder of models. Other work on the machine shows
//! in the medians.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use memoria::embed::minilm::Minilm;
use memoria::embed::{Embedder, Side};
use memoria_kernel::matrix;

/// 37 tokens, with those that begin and end it.
const SHORT: &str = "The daemon keeps its memories in one file and answers questions about them before the editor has \
                     drawn its window, even on a laptop with a full disk, many branches and no net";
const ROUNDS: usize = 40;

fn main() {
    let Some(file) = std::env::args().skip(1).find(|word| !word.starts_with('-')).map(PathBuf::from) else {
        println!(
            "minilm: left out, because no model was named: cargo bench --bench minilm .../models/minilm/encoder.bin"
        );
        return;
    };
    for path in matrix::Path::available() {
        let model = Minilm::open(&file).expect("a model").by(path);
        model.embed(Side::Passage, &["loads it"]).expect("a vector");
        println!("{}", path.name());
        for (name, texts) in [
            ("37 tokens", vec![SHORT.to_owned()]),
            ("about 128 tokens", vec![SHORT.split(' ').cycle().take(115).collect::<Vec<_>>().join(" ")]),
            ("256 tokens", vec![SHORT.repeat(9)]),
            ("32 texts of 37 tokens", vec![SHORT.to_owned(); 32]),
        ] {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let mut times: Vec<Duration> = (0..ROUNDS).map(|_| time(&model, &texts)).collect();
            times.sort_unstable();
            println!("  {name:<24} least {:>9.2?}   median {:>9.2?}", times[0], times[ROUNDS / 2]);
        }
    }
}

fn time(model: &Minilm, texts: &[&str]) -> Duration {
    let begun = Instant::now();
    model.embed(Side::Passage, texts).expect("vectors");
    begun.elapsed()
}
