//! SentencePiece's Unigram: of all ways to cut a word into pieces, the likeliest. As `tokenizers` does it, which models
//! of the hub are published with.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::charsmap::Charsmap;

/// What stands for a space.
const SPACE: char = '\u{2581}';
/// How much less likely than the rarest piece an unknown letter is.
const UNKNOWN_PENALTY: f64 = 10.0;

/// Pieces with their logarithmic likelihoods, and what is done to a text before.
pub struct Unigram {
    pieces: HashMap<Box<str>, (u32, f64)>,
    /// Bytes of the longest.
    longest: usize,
    unknown: u32,
    unknown_score: f64,
    /// The first of 256 pieces that stand for bytes.
    bytes: Option<Vec<u32>>,
    steps: Vec<Step>,
    splits_at_whitespace: bool,
    lead: Lead,
    splits_at_spaces: bool,
}

/// One step of normalization.
enum Step {
    Charsmap(Charsmap),
    /// Two and more of the first become the second.
    Squeeze(char, String),
    Replace(String, String),
    Strip {
        left: bool,
        right: bool,
    },
    Lowercase,
}

/// Where a space is put that the text does not have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lead {
    /// Before each part.
    Always,
    /// Before the text.
    Start,
    Never,
}

impl Unigram {
    /// From a `tokenizer.json`.
    pub fn new(tokenizer: &Value) -> Result<Self, String> {
        let model = &tokenizer["model"];
        let vocab = model["vocab"].as_array().ok_or("it has no vocabulary")?;
        let mut pieces = HashMap::with_capacity(vocab.len());
        // A text that spells a special piece does not get it: it could end itself early.
        let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
        let special = added.filter(|added| added["special"].as_bool().unwrap_or_default());
        let special: HashSet<u64> = special.filter_map(|added| added["id"].as_u64()).collect();
        let mut lowest = f64::INFINITY;
        for (number, entry) in (0u32..).zip(vocab) {
            let (piece, score) =
                entry[0].as_str().zip(entry[1].as_f64()).ok_or("an entry of its vocabulary is none")?;
            lowest = lowest.min(score);
            if !special.contains(&number.into()) {
                // Of equal ones the last counts, as in the reference.
                pieces.insert(Box::from(piece), (number, score));
            }
        }
        let unknown = model["unk_id"].as_u64().and_then(|id| u32::try_from(id).ok());
        let unknown = unknown.ok_or("its vocabulary has no piece for the unknown")?;
        let bytes = model["byte_fallback"].as_bool().unwrap_or_default().then(|| {
            (0..=255u8).map(|byte| pieces.get(format!("<0x{byte:02X}>").as_str()).map(|(id, _)| *id)).collect()
        });
        let mut unigram = Self {
            longest: pieces.keys().map(|piece| piece.len()).max().unwrap_or_default(),
            pieces,
            unknown,
            unknown_score: lowest - UNKNOWN_PENALTY,
            bytes: bytes.flatten(),
            steps: Vec::new(),
            splits_at_whitespace: false,
            lead: Lead::Never,
            splits_at_spaces: false,
        };
        unigram.add_step(&tokenizer["normalizer"])?;
        unigram.add_split(&tokenizer["pre_tokenizer"])?;
        Ok(unigram)
    }

    fn add_step(&mut self, step: &Value) -> Result<(), String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match step["type"].as_str().unwrap_or_default() {
            "" if step.is_null() => {}
            "Sequence" => {
                return step["normalizers"].as_array().into_iter().flatten().try_for_each(|each| self.add_step(each));
            }
            "Precompiled" => {
                // Nothing there means nothing to do.
                let encoded = text(&step["precompiled_charsmap"]);
                if !encoded.is_empty() {
                    self.steps.push(Step::Charsmap(Charsmap::new(&encoded)?));
                }
            }
            "Replace" => match (step["pattern"]["String"].as_str(), step["pattern"]["Regex"].as_str()) {
                (Some(from), _) if !from.is_empty() => {
                    self.steps.push(Step::Replace(from.to_owned(), text(&step["content"])))
                }
                (_, Some(" {2,}")) => self.steps.push(Step::Squeeze(' ', text(&step["content"]))),
                (_, Some(regex)) => {
                    return Err(format!("it replaces by the pattern `{regex}`, which is not known here"));
                }
                _ => return Err("it replaces nothing by something".to_owned()),
            },
            "Strip" => {
                let is_set = |key: &str| step[key].as_bool().unwrap_or_default();
                self.steps.push(Step::Strip { left: is_set("strip_left"), right: is_set("strip_right") });
            }
            "Lowercase" => self.steps.push(Step::Lowercase),
            kind => return Err(format!("it normalizes by `{kind}`, which is not known here")),
        }
        Ok(())
    }

    fn add_split(&mut self, split: &Value) -> Result<(), String> {
        match split["type"].as_str().unwrap_or_default() {
            "" if split.is_null() => Ok(()),
            "Sequence" => {
                split["pretokenizers"].as_array().into_iter().flatten().try_for_each(|each| self.add_split(each))
            }
            "WhitespaceSplit" => {
                self.splits_at_whitespace = true;
                Ok(())
            }
            "Metaspace" => {
                if split["replacement"].as_str().is_some_and(|mark| mark != SPACE.to_string()) {
                    return Err("it marks spaces in a way that is not known here".to_owned());
                }
                self.lead = match (split["prepend_scheme"].as_str(), split["add_prefix_space"].as_bool()) {
                    (Some("always"), _) | (None, Some(true) | None) => Lead::Always,
                    (Some("first"), _) => Lead::Start,
                    _ => Lead::Never,
                };
                self.splits_at_spaces = split["split"].as_bool().unwrap_or(true);
                Ok(())
            }
            kind => Err(format!("it splits texts by `{kind}`, which is not known here")),
        }
    }

    /// The numbers of a text's pieces, `most` or a few more.
    pub fn cut(&self, text: &str, most: usize) -> Vec<u32> {
        let text = self.normalized(text);
        let mut numbers = Vec::new();
        let parts: Vec<&str> = match self.splits_at_whitespace {
            true => text.split_whitespace().collect(),
            false if text.is_empty() => Vec::new(),
            false => vec![&text],
        };
        for (place, part) in parts.iter().enumerate() {
            let mut part = part.replace(' ', &SPACE.to_string());
            // "First" means the part that the text begins with.
            let wants =
                self.lead == Lead::Always || (self.lead == Lead::Start && place == 0 && text.starts_with(parts[0]));
            if wants && !part.starts_with(SPACE) {
                part.insert(0, SPACE);
            }
            let starts = match self.splits_at_spaces {
                true => part.match_indices(SPACE).map(|(at, _)| at).filter(|at| *at > 0).chain([part.len()]).collect(),
                false => vec![part.len()],
            };
            let mut from = 0;
            for to in starts {
                self.cut_word(&part[from..to], &mut numbers);
                from = to;
                if numbers.len() >= most {
                    return numbers;
                }
            }
        }
        numbers
    }

    fn normalized(&self, text: &str) -> String {
        self.steps.iter().fold(text.to_owned(), |text, step| match step {
            Step::Charsmap(map) => map.applied(&text),
            Step::Replace(from, to) => text.replace(from, to),
            Step::Squeeze(of, to) => squeezed(&text, *of, to),
            Step::Strip { left, right } => {
                let text = if *left { text.trim_start() } else { &text };
                if *right { text.trim_end() } else { text }.to_owned()
            }
            Step::Lowercase => text.to_lowercase(),
        })
    }

    /// Viterbi over the places between letters.
    fn cut_word(&self, word: &str, numbers: &mut Vec<u32>) {
        /// The best way to a place: how likely, from where, by which piece.
        #[derive(Clone, Copy)]
        struct Way {
            score: f64,
            from: usize,
            piece: Option<u32>,
        }
        let mut ways: Vec<Option<Way>> = vec![None; word.len() + 1];
        ways[0] = Some(Way { score: 0.0, from: 0, piece: None });
        for (from, letter) in word.char_indices() {
            let Some(score) = ways[from].map(|way| way.score) else { continue };
            let mut reach = |to: usize, piece: Option<u32>, by: f64| {
                if ways[to].is_none_or(|way| score + by > way.score) {
                    ways[to] = Some(Way { score: score + by, from, piece });
                }
            };
            let next = from + letter.len_utf8();
            let mut has_letter = false;
            let furthest = word.len().min(from + self.longest);
            for to in (next..=furthest).filter(|to| word.is_char_boundary(*to)) {
                if let Some((piece, by)) = self.pieces.get(&word[from..to]) {
                    reach(to, Some(*piece), *by);
                    has_letter |= to == next;
                }
            }
            if !has_letter {
                reach(next, None, self.unknown_score);
            }
        }
        let mut back = Vec::new();
        let mut at = word.len();
        while at > 0 {
            let Some(way) = ways[at] else { break };
            back.push((way.from, at, way.piece));
            at = way.from;
        }
        let mut was_unknown = false;
        for (from, to, piece) in back.into_iter().rev() {
            // The piece for the unknown stands for letters that are unknown, wherever it came from.
            let piece = piece.filter(|piece| *piece != self.unknown);
            match (piece, &self.bytes) {
                (Some(piece), _) => numbers.push(piece),
                (None, Some(bytes)) => {
                    numbers.extend(word.as_bytes()[from..to].iter().map(|byte| bytes[usize::from(*byte)]))
                }
                // Several unknown letters in a row are one.
                (None, None) if was_unknown => {}
                (None, None) => numbers.push(self.unknown),
            }
            was_unknown = piece.is_none();
        }
    }
}

fn squeezed(text: &str, of: char, to: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(of) {
        let after = rest[start..].trim_start_matches(of);
        let many = rest.len() - start - after.len();
        out.push_str(&rest[..start]);
        if many > of.len_utf8() {
            out.push_str(to);
        } else {
            out.push(of);
        }
        rest = after;
    }
    out + rest
}
