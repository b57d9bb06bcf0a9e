//! A text to the numbers that a model was trained on, as its `tokenizer.json` (or `vocab.txt`) says: BERT's WordPiece,
//! SentencePiece's Unigram, and byte-level BPE. What is written there and not known here is refused by its name, never
//! passed over. Special tokens in a text are words like any others.

mod bpe;
mod charsmap;
mod special;
mod unigram;

use std::path::Path;

use serde_json::Value;

use self::bpe::Bpe;
use self::special::Special;
use self::unigram::Unigram;
use super::wordpiece::{UNKNOWN, Vocabulary};
use crate::error::{Error, Result};

/// One model's tokenizer.
pub struct Tokenizer {
    pieces: Pieces,
    special: Special,
}

enum Pieces {
    Word(Vocabulary),
    Unigram(Unigram),
    Bpe(Bpe),
}

impl Tokenizer {
    /// From a model's folder; `tokenizer` is its `tokenizer.json` as read, `Null` where there is none.
    ///
    /// # Errors
    /// A sentence that names what is missing or not known here.
    pub fn open(folder: &Path, tokenizer: &Value) -> Result<Self> {
        let refused =
            |why: String| Error::invalid(format!("the tokenizer in {} cannot be used: {why}", folder.display()));
        if tokenizer.is_null() {
            return Self::from_lines(folder);
        }
        let model = &tokenizer["model"];
        // Old files leave the type out.
        let is_old_wordpiece = model["max_input_chars_per_word"].is_u64();
        let pieces = match model["type"].as_str() {
            Some("WordPiece") => Pieces::Word(wordpiece(tokenizer).map_err(refused)?),
            None if is_old_wordpiece => Pieces::Word(wordpiece(tokenizer).map_err(refused)?),
            Some("Unigram") => Pieces::Unigram(Unigram::new(tokenizer).map_err(refused)?),
            Some("BPE") => Pieces::Bpe(Bpe::new(tokenizer).map_err(refused)?),
            kind => {
                let kind = kind.unwrap_or_default();
                return Err(refused(format!("its kind is `{kind}`; known are WordPiece, Unigram and BPE")));
            }
        };
        Ok(Self { pieces, special: Special::new(tokenizer).map_err(refused)? })
    }

    fn from_lines(folder: &Path) -> Result<Self> {
        let path = folder.join("vocab.txt");
        let lines = std::fs::read_to_string(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::not_found(format!(
                "{} holds neither tokenizer.json nor vocab.txt: copy the model's tokenizer there",
                folder.display()
            )),
            _ => Error::io(format_args!("read {}", path.display()), &e),
        })?;
        let vocabulary = Vocabulary::new(lines)?;
        let number = |piece: &str| {
            let missing = || Error::invalid(format!("{} has no piece `{piece}`", path.display()));
            vocabulary.id(piece).ok_or_else(missing)
        };
        let special = Special { before: vec![number("[CLS]")?], after: vec![number("[SEP]")?] };
        Ok(Self { pieces: Pieces::Word(vocabulary), special })
    }

    /// The numbers of a text with the special ones around, `most` at most; what is longer is cut at its end.
    pub fn numbers(&self, text: &str, most: usize) -> Vec<u32> {
        let room = most.saturating_sub(self.special.before.len() + self.special.after.len());
        let mut numbers = self.special.before.clone();
        let mut pieces = match &self.pieces {
            Pieces::Word(vocabulary) => vocabulary.cut(text, room).ids,
            Pieces::Unigram(unigram) => unigram.cut(text, room),
            Pieces::Bpe(bpe) => bpe.cut(text, room),
        };
        pieces.truncate(room);
        numbers.append(&mut pieces);
        numbers.extend(&self.special.after);
        numbers
    }

    /// What kind it is, in a word.
    pub fn kind(&self) -> &'static str {
        match &self.pieces {
            Pieces::Word(_) => "WordPiece",
            Pieces::Unigram(_) => "Unigram",
            Pieces::Bpe(_) => "BPE",
        }
    }
}

/// BERT's, as all that are called "uncased" have it.
fn wordpiece(tokenizer: &Value) -> Result<Vocabulary, String> {
    let normalizer = &tokenizer["normalizer"];
    let is_off = |key: &str| normalizer[key].as_bool() == Some(false);
    if normalizer["type"] != "BertNormalizer" || tokenizer["pre_tokenizer"]["type"] != "BertPreTokenizer" {
        return Err("its texts are not prepared as BERT's are".to_owned());
    }
    if let Some(key) =
        ["lowercase", "strip_accents", "handle_chinese_chars", "clean_text"].iter().find(|key| is_off(key))
    {
        return Err(format!("it keeps what other BERT models do not (`{key}` is false): only uncased ones are known"));
    }
    let model = &tokenizer["model"];
    let is_usual = model["continuing_subword_prefix"].as_str().is_none_or(|prefix| prefix == "##")
        && model["unk_token"].as_str().is_none_or(|unknown| unknown == UNKNOWN)
        && model["max_input_chars_per_word"].as_u64().is_none_or(|most| most == 100);
    if !is_usual {
        return Err("its WordPiece has other marks than BERT's".to_owned());
    }
    let pieces = numbered(&model["vocab"])?;
    if pieces.iter().any(|piece| piece.contains('\n')) {
        return Err("a piece of its vocabulary holds a line end".to_owned());
    }
    Vocabulary::new(pieces.join("\n")).map_err(|e| e.message)
}

/// `{"piece": number}` in the order of the numbers.
fn numbered(vocab: &Value) -> Result<Vec<&str>, String> {
    let vocab = vocab.as_object().ok_or("it has no vocabulary")?;
    let mut pieces = vec![None; vocab.len()];
    for (piece, number) in vocab {
        let place = number.as_u64().and_then(|number| pieces.get_mut(usize::try_from(number).ok()?));
        *place.ok_or("the numbers of its vocabulary have gaps")? = Some(piece.as_str());
    }
    pieces.into_iter().collect::<Option<_>>().ok_or_else(|| "the numbers of its vocabulary have gaps".to_owned())
}
