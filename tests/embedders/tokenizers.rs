//! Texts in numbers, as the reference library has them; and that a tokenizer which cannot be done right is refused.

use std::path::Path;

use memoria::embed::tokens::Tokenizer;
use serde_json::{Value, json};

use crate::folders::models;

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[track_caller]
fn agrees_with_the_reference(name: &str) {
    let folder = models().join(name);
    let tokenizer = Tokenizer::open(&folder, &read(&folder.join("tokenizer.json"))).unwrap();
    let golden = read(&folder.join("golden.json"));
    let golden = golden.as_array().unwrap();
    assert!(golden.len() > 20, "{} texts", golden.len());
    let mut wrong = Vec::new();
    for pair in golden {
        let text = pair[0].as_str().unwrap();
        let expected: Vec<u64> = pair[1].as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect();
        let found: Vec<u64> = tokenizer.numbers(text, 1_000).into_iter().map(u64::from).collect();
        if found != expected {
            wrong.push(format!("{text:?}: {found:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unigram_is_the_references() {
    agrees_with_the_reference("unigram");
}

#[test]
fn unigram_after_a_split_at_whitespace_is_the_references() {
    agrees_with_the_reference("unigram-split");
}

#[test]
fn byte_level_bpe_is_the_references() {
    agrees_with_the_reference("bpe");
}

#[test]
fn a_long_text_is_cut_and_keeps_its_special_pieces() {
    for name in ["tiny", "unigram", "unigram-split", "bpe"] {
        let folder = models().join(name);
        let tokenizer = Tokenizer::open(&folder, &read(&folder.join("tokenizer.json"))).unwrap();
        let text = "the cat runs on the road ".repeat(50);
        let (whole, cut) = (tokenizer.numbers(&text, 100_000), tokenizer.numbers(&text, 16));
        assert_eq!(cut.len(), 16, "{name}");
        assert_eq!((&cut[..15], cut[15]), (&whole[..15], whole[whole.len() - 1]), "{name}");
    }
}

#[test]
fn special_pieces_in_a_text_are_words() {
    let folder = models().join("unigram");
    let tokenizer = Tokenizer::open(&folder, &read(&folder.join("tokenizer.json"))).unwrap();
    let numbers = tokenizer.numbers("a </s> b", 100);
    assert_eq!(numbers.iter().filter(|number| **number == 2).count(), 1, "{numbers:?}");
}

#[test]
fn a_tokenizer_that_is_not_known_is_refused_by_its_name() {
    let unigram = read(&models().join("unigram/tokenizer.json"));
    let bpe = read(&models().join("bpe/tokenizer.json"));
    let tiny = read(&models().join("tiny/tokenizer.json"));
    let changed = |of: &Value, at: &str, to: Value| {
        let mut changed = of.clone();
        *changed.pointer_mut(at).unwrap() = to;
        changed
    };
    for (tokenizer, expected) in [
        (json!({}), "its kind is ``"),
        (changed(&tiny, "/model/type", json!("WordLevel")), "`WordLevel`"),
        (changed(&tiny, "/normalizer", json!({ "type": "Lowercase" })), "as BERT's are"),
        (changed(&tiny, "/normalizer/lowercase", json!(false)), "`lowercase` is false"),
        (changed(&tiny, "/model/vocab", json!({ "a": 0, "b": 7 })), "have gaps"),
        (changed(&tiny, "/post_processor", json!({ "type": "Weird" })), "`Weird`"),
        (changed(&unigram, "/normalizer", json!({ "type": "NFKD" })), "`NFKD`"),
        (changed(&unigram, "/pre_tokenizer", json!({ "type": "Digits" })), "`Digits`"),
        (changed(&unigram, "/model/unk_id", Value::Null), "the unknown"),
        (changed(&unigram, "/normalizer", json!({ "type": "Precompiled", "precompiled_charsmap": "AAAA" })), "broken"),
        (changed(&bpe, "/pre_tokenizer", json!({ "type": "Whitespace" })), "only GPT-2's"),
        (changed(&bpe, "/model/vocab", json!({})), "merges is not in its vocabulary"),
    ] {
        let error = Tokenizer::open(Path::new("models/mine"), &tokenizer).err().unwrap();
        assert!(error.message.contains(expected) && error.message.contains("mine"), "{expected}: {error}");
    }
    let error = Tokenizer::open(Path::new("models/none"), &Value::Null).err().unwrap();
    assert!(error.message.contains("neither tokenizer.json nor vocab.txt"), "{error}");
}

#[test]
fn no_broken_map_of_letters_makes_it_panic() {
    let mut unigram = read(&models().join("unigram-split/tokenizer.json"));
    let map = unigram["normalizer"]["precompiled_charsmap"].as_str().unwrap().to_owned();
    let letters = ['A', '/', '9', 'z'];
    for (place, letter) in (0..map.len()).step_by(7).zip(letters.into_iter().cycle()) {
        let broken = format!("{}{letter}{}", &map[..place], &map[place + 1..]);
        unigram["normalizer"]["precompiled_charsmap"] = broken.into();
        if let Ok(tokenizer) = Tokenizer::open(Path::new("x"), &unigram) {
            tokenizer.numbers("Ａ① nai\u{308}ve … e\u{301}", 100);
        }
    }
}
