//! Folders of models, as people bring them: copies of those in `models/`, and what may be wrong with one.

use std::fs;
use std::path::{Path, PathBuf};

use memoria::config::{Config, Embedding, Pooling};
use memoria::embed::Embedder;
use memoria::embed::child::Patience;
use memoria::embed::onnx::Onnx;
use memoria::error::{ErrorKind, Result};

pub fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/embedders/models")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A copy of the tiny model.
pub fn tiny(folder: &Path) -> PathBuf {
    let path = folder.join("tiny");
    copy(&models().join("tiny"), &path);
    path
}

fn opened(folder: &Path, settings: &Embedding) -> Result<Onnx> {
    Onnx::open_with(folder, None, settings, "none".into(), Patience::default())
}

fn id(folder: &Path, settings: &Embedding) -> String {
    opened(folder, settings).unwrap().space().model.to_string()
}

#[test]
fn whatever_changes_vectors_changes_the_id() {
    let folder = tempfile::tempdir().unwrap();
    let path = tiny(folder.path());
    let plain = Config::default().embedding;
    let mut ids = vec![id(&path, &plain)];
    assert!(ids[0].starts_with("onnx:tiny-"), "{}", ids[0]);
    assert_eq!(id(&path, &plain), ids[0]);
    ids.push(id(&path, &Embedding { pooling: Pooling::Cls, ..plain.clone() }));
    ids.push(id(&path, &Embedding { dims: 3, ..plain.clone() }));
    ids.push(id(&path, &Embedding { question_prefix: "query: ".to_owned(), ..plain.clone() }));
    ids.push(id(&path, &Embedding { passage_prefix: "query: ".to_owned(), ..plain.clone() }));
    fs::write(path.join("sentence_bert_config.json"), r#"{"max_seq_length": 9}"#).unwrap();
    ids.push(id(&path, &plain));
    fs::write(path.join("config_sentence_transformers.json"), r#"{"prompts": {"query": "q: "}}"#).unwrap();
    ids.push(id(&path, &plain));
    fs::copy(models().join("bpe/tokenizer.json"), path.join("tokenizer.json")).unwrap();
    ids.push(id(&path, &plain));
    let mut weights = fs::read(path.join("model.onnx")).unwrap();
    let middle = weights.len() / 2;
    weights[middle] ^= 1;
    fs::write(path.join("model.onnx"), weights).unwrap();
    ids.push(id(&path, &plain));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 9, "{ids:?}");
}

#[test]
fn dimensions_are_those_of_the_model_or_fewer() {
    let folder = tempfile::tempdir().unwrap();
    let path = tiny(folder.path());
    let dims = |dims| opened(&path, &Embedding { dims, ..Config::default().embedding }).map(|onnx| onnx.space().dims);
    assert_eq!((dims(0).unwrap(), dims(4).unwrap(), dims(2).unwrap()), (4, 4, 2));
    let error = dims(5).unwrap_err();
    assert!(error.message.contains("only 4 dimensions"), "{error}");
}

#[test]
fn a_quantized_file_is_preferred_to_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = tiny(folder.path());
    let settings = Config::default().embedding;
    assert!(opened(&path, &settings).unwrap().describe().starts_with("model.onnx, mean of up to 16 pieces"));
    fs::create_dir(path.join("onnx")).unwrap();
    fs::copy(path.join("model.onnx"), path.join("onnx/model_quantized.onnx")).unwrap();
    let about = opened(&path, &settings).unwrap().describe();
    assert!(
        about.starts_with("onnx/model_quantized.onnx") || about.starts_with("onnx\\model_quantized.onnx"),
        "{about}"
    );
}

#[test]
fn a_folder_that_cannot_serve_is_refused_with_the_file_that_is_wrong() {
    let dense = r#"[{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]"#;
    let cases: [(&str, Option<&str>, &str); 10] = [
        ("model.onnx", None, "holds no ONNX model"),
        ("config.json", Some("{}"), "no more"),
        ("config.json", Some("{"), "config.json is not JSON"),
        ("modules.json", Some(dense), "`Dense`"),
        ("1_Pooling/config.json", Some(r#"{"pooling_mode_max_tokens": true}"#), "pooling_mode_max_tokens"),
        ("1_Pooling/config.json", Some(r#"{"pooling_mode": "weird"}"#), "weird"),
        ("1_Pooling/config.json", Some(r#"{"word_embedding_dimension": 9999}"#), "9999 dimensions"),
        ("1_Pooling/config.json", Some("[]"), "no more"),
        ("config_sentence_transformers.json", Some("nothing"), "config_sentence_transformers.json is not JSON"),
        ("tokenizer.json", None, "no more"),
    ];
    for (file, content, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = tiny(folder.path());
        match content {
            Some(content) => fs::write(path.join(file), content).unwrap(),
            None => fs::remove_file(path.join(file)).unwrap(),
        }
        match opened(&path, &Config::default().embedding) {
            // Another file says the same, or it is found out when it is loaded.
            Ok(_) => assert_eq!(expected, "no more", "{file} {content:?}"),
            Err(error) => assert!(error.message.contains(expected), "{file}: {error}"),
        }
    }
}

#[test]
fn several_models_of_unknown_names_are_not_guessed_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = tiny(folder.path());
    fs::rename(path.join("model.onnx"), path.join("first.onnx")).unwrap();
    opened(&path, &Config::default().embedding).unwrap();
    fs::copy(path.join("first.onnx"), path.join("second.onnx")).unwrap();
    let error = opened(&path, &Config::default().embedding).err().unwrap();
    assert!(error.message.contains("first.onnx, second.onnx"), "{error}");
    let error = opened(&folder.path().join("none"), &Config::default().embedding).err().unwrap();
    assert_eq!(error.kind, ErrorKind::NotFound);
}
