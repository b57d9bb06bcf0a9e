//! The real runtime in its process, on a model of a few bytes whose vectors are known: what comes out, and what is said
//! when a model makes what no vector is.

use std::fs;
use std::path::{Path, PathBuf};

use memoria::config::{Config, Embedding, Pooling};
use memoria::embed::child::Patience;
use memoria::embed::onnx::Onnx;
use memoria::embed::{Embedder, Side};
use memoria::error::{ErrorKind, Result};

use crate::cache;

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/embedders/models")
}

fn opened(folder: &Path, runtime: &Path, settings: &Embedding) -> Onnx {
    Onnx::open_with(folder, Some(runtime), settings, env!("CARGO_BIN_EXE_memoriad").into(), Patience::default())
        .unwrap()
}

fn plain() -> Embedding {
    Config::default().embedding
}

/// A copy of the tiny model with one file changed.
fn changed(file: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["model.onnx", "config.json", "tokenizer.json"] {
        fs::copy(models().join("tiny").join(name), folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join(file), text).unwrap();
    folder
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[test]
fn a_model_makes_the_vectors_that_it_should() {
    let Some(models_folder) = cache::with(&["onnxruntime"]) else { return };
    let onnx = opened(&models().join("tiny"), &models_folder.join("onnxruntime"), &plain());
    let golden: Vec<(String, Vec<f32>)> =
        serde_json::from_str(&fs::read_to_string(models().join("tiny/golden.json")).unwrap()).unwrap();
    let texts: Vec<&str> = golden.iter().map(|(text, _)| text.as_str()).collect();
    let found = onnx.embed(Side::Passage, &texts).unwrap();
    for ((text, expected), vector) in golden.iter().zip(&found) {
        assert!(vector.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{text}: {vector:?}, not {expected:?}");
    }
    for (text, vector) in texts.iter().zip(&found) {
        assert_eq!(&onnx.embed(Side::Passage, &[text]).unwrap()[0], vector, "its neighbours change nothing: {text}");
    }
    assert!(onnx.describe().contains("ONNX Runtime in /"), "{}", onnx.describe());
}

#[test]
fn fewer_dimensions_are_the_first_ones_of_unit_length() {
    let Some(models_folder) = cache::with(&["onnxruntime"]) else { return };
    let runtime = models_folder.join("onnxruntime");
    let all = opened(&models().join("tiny"), &runtime, &plain()).embed(Side::Question, &["the cat"]).unwrap();
    let settings = Embedding { dims: 2, ..plain() };
    let some = opened(&models().join("tiny"), &runtime, &settings).embed(Side::Question, &["the cat"]).unwrap();
    assert_eq!(some[0].len(), 2);
    assert!((cosine(&some[0], &some[0]) - 1.0).abs() < 1e-5);
    assert!((some[0][0] / some[0][1] - all[0][0] / all[0][1]).abs() < 1e-4, "{some:?} of {all:?}");
}

#[test]
fn pooling_and_prefixes_are_those_that_are_set() {
    let Some(models_folder) = cache::with(&["onnxruntime"]) else { return };
    let runtime = models_folder.join("onnxruntime");
    let one = |settings: &Embedding, side, text: &str| {
        opened(&models().join("tiny"), &runtime, settings).embed(side, &[text]).unwrap().remove(0)
    };
    let cls = Embedding { pooling: Pooling::Cls, ..plain() };
    let first = one(&cls, Side::Passage, "the cat");
    assert_eq!(first, one(&cls, Side::Passage, "a dog"), "the first piece is the same for all");
    let last = Embedding { pooling: Pooling::Last, ..plain() };
    assert_ne!(one(&last, Side::Passage, "the cat"), first);
    let prefixed = Embedding { question_prefix: "fast ".to_owned(), ..plain() };
    assert_eq!(one(&prefixed, Side::Question, "cat"), one(&plain(), Side::Passage, "fast cat"));
    assert_eq!(one(&prefixed, Side::Passage, "cat"), one(&plain(), Side::Passage, "cat"));
}

#[test]
fn numbers_that_are_none_are_refused_and_the_next_text_goes_through() {
    let Some(models_folder) = cache::with(&["onnxruntime"]) else { return };
    let onnx = opened(&models().join("tiny"), &models_folder.join("onnxruntime"), &plain());
    let error = onnx.embed(Side::Passage, &["the broken car"]).unwrap_err();
    assert!(error.message.contains("numbers that are none") && error.kind == ErrorKind::Invalid, "{error}");
    onnx.embed(Side::Passage, &["the car"]).unwrap();
}

#[test]
fn a_model_that_is_not_what_its_files_say_is_refused() {
    let Some(models_folder) = cache::with(&["onnxruntime"]) else { return };
    let runtime = models_folder.join("onnxruntime");
    let refusal = |folder: &tempfile::TempDir| -> String {
        let outcome: Result<_> = opened(folder.path(), &runtime, &plain()).embed(Side::Passage, &["the cat"]);
        outcome.unwrap_err().message
    };
    let other = changed("config.json", r#"{"hidden_size": 8}"#);
    assert!(refusal(&other).contains("8] was to be expected"), "{}", refusal(&other));
    let broken = changed("model.onnx", "this is no model");
    assert!(refusal(&broken).contains("cannot load"), "{}", refusal(&broken));
    let strange = changed("tokenizer.json", r#"{"model": {"type": "WordLevel"}}"#);
    assert!(refusal(&strange).contains("`WordLevel`"), "{}", refusal(&strange));
    let pieces = fs::read_to_string(models().join("tiny/tokenizer.json")).unwrap().replace("\"cat\":6", "\"cat\":18");
    let more =
        changed("tokenizer.json", &pieces.replace("\"dog\":7", "\"dog\":6").replace("\"grass\":17", "\"grass\":7"));
    assert!(refusal(&more).contains("gaps"), "{}", refusal(&more));
}

#[test]
fn a_model_that_rests_makes_the_same_vectors_again() {
    let Some(models_folder) = cache::with(&["onnxruntime"]) else { return };
    let onnx = opened(&models().join("tiny"), &models_folder.join("onnxruntime"), &plain());
    let before = onnx.embed(Side::Question, &["dogs on the road"]).unwrap();
    onnx.rest();
    assert!(!onnx.describe().contains("ONNX Runtime"), "{}", onnx.describe());
    assert_eq!(onnx.embed(Side::Question, &["dogs on the road"]).unwrap(), before);
}
