//! Our encoder and the reference runtime on the same model: the same vectors, but for the rounding of the weights.

use memoria::config::Config;
use memoria::embed::child::Patience;
use memoria::embed::minilm::{self, Minilm};
use memoria::embed::onnx::Onnx;
use memoria::embed::{Embedder, Side};

use crate::cache;

const COSINE_MEAN_MIN: f64 = 0.995;
const COSINE_MIN: f64 = 0.98;

/// Short and long, plain and odd.
const TEXTS: &[&str] = &[
    "hello",
    "The staging server lives in the cellar.",
    "Who owns the login service?",
    "fn main() { println!(\"{}\", std::env::args().count()); }",
    "ERROR 2026-03-04T10:11:12Z worker-7 connection reset by peer (os error 104)",
    "We moved from Jenkins to Buildkite in March because the agents kept running out of disk.",
    "src/embed/install/package.rs:42",
    "Grüße aus Zürich, à bientôt, ¡hasta mañana!",
    "3.14159 is not 22/7",
    "I like apples",
    "I do not like apples",
    "https://example.org/a/b?c=d#e",
    "PROJ-1234 blocks PROJ-1240 until the schema is migrated",
    "a",
    "The quick brown fox jumps over the lazy dog while seven wizards quickly box the jumping frogs of Vexler.",
    "She said that he said that they had said nothing at all about the merger.",
    "SELECT name, count(*) FROM memories WHERE kind = 'semantic' GROUP BY name HAVING count(*) > 3;",
    "After the outage on Tuesday evening the team agreed to keep two replicas in different regions, to page the \
     database owner before the on-call developer, to write the runbook anew with the commands that were really \
     typed, and to try the whole procedure once a quarter with somebody who has never done it before.",
];

#[test]
fn our_encoder_agrees_with_the_reference_runtime_on_the_same_model() {
    let Some(folder) = cache::with(&["minilm", "onnxruntime", "minilm-onnx-int8"]) else { return };
    let settings = Config::default().embedding;
    let ours = Minilm::open(&folder.join("minilm").join(minilm::FILE)).unwrap();
    let (model, runtime) = (folder.join("minilm-onnx-int8"), folder.join("onnxruntime"));
    let program = env!("CARGO_BIN_EXE_memoriad").into();
    let theirs = Onnx::open_with(&model, Some(&runtime), &settings, program, Patience::default()).unwrap();
    let embed = |embedder: &dyn Embedder| embedder.embed(Side::Passage, TEXTS).unwrap();
    let (ours, theirs) = (embed(&ours), embed(&theirs));
    let cosine = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let cosines: Vec<f64> = ours.iter().zip(&theirs).map(cosine).collect();
    let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
    for (text, cosine) in TEXTS.iter().zip(&cosines) {
        assert!(*cosine >= COSINE_MIN, "{cosine} of `{text}`");
    }
    assert!(mean >= COSINE_MEAN_MIN, "{mean}: {cosines:?}");
}
