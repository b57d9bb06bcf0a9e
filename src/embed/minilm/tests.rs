//! A small encoder with random weights against its forward pass written plainly in 64 bits; and every way in which the
//! file of a model can be wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use memoria_kernel::neural::HEAD;
use tempfile::TempDir;

use super::*;

const TEST_MODEL: &str = "random-1";
const WORDS: &[&str] = &["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green", "blue", "##ish", "##er", ".", ","];
const LAYERS: usize = 2;
const WIDTH: usize = 2 * HEAD;
const INNER: usize = 4 * HEAD;
const POSITIONS: usize = 48;
const TEXTS: &[&str] =
    &["red", "Red, green.", "blue redder greenish, blueish.", "green green green green red blue . . ,"];

/// Weights by name, with their shapes.
type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Numbers between -1 and 1 that a seed tells.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32 / (1 << 23) as f32) - 1.0
    }
}

fn random_weights(seed: u64) -> Weights {
    let mut random = Random(seed);
    let mut weights = Weights::new();
    let mut add = |name: String, shape: &[usize], scale: f32, middle: f32| {
        let count = shape.iter().product();
        weights.insert(name, (shape.to_vec(), (0..count).map(|_| middle + scale * random.next()).collect()));
    };
    let norm = |add: &mut dyn FnMut(String, &[usize], f32, f32), name: &str| {
        add(format!("{name}.LayerNorm.weight"), &[WIDTH], 0.5, 1.0);
        add(format!("{name}.LayerNorm.bias"), &[WIDTH], 0.2, 0.0);
    };
    let linear = |add: &mut dyn FnMut(String, &[usize], f32, f32), name: String, inputs: usize, outputs: usize| {
        add(format!("{name}.weight"), &[outputs, inputs], 2.0 / (inputs as f32).sqrt(), 0.0);
        add(format!("{name}.bias"), &[outputs], 0.1, 0.0);
    };
    add("embeddings.word_embeddings.weight".to_owned(), &[WORDS.len(), WIDTH], 1.0, 0.0);
    add("embeddings.position_embeddings.weight".to_owned(), &[POSITIONS + 9, WIDTH], 0.3, 0.0);
    add("embeddings.token_type_embeddings.weight".to_owned(), &[2, WIDTH], 0.1, 0.0);
    norm(&mut add, "embeddings");
    for layer in 0..LAYERS {
        let prefix = format!("encoder.layer.{layer}");
        for part in ["query", "key", "value"] {
            linear(&mut add, format!("{prefix}.attention.self.{part}"), WIDTH, WIDTH);
        }
        linear(&mut add, format!("{prefix}.attention.output.dense"), WIDTH, WIDTH);
        norm(&mut add, &format!("{prefix}.attention.output"));
        linear(&mut add, format!("{prefix}.intermediate.dense"), WIDTH, INNER);
        linear(&mut add, format!("{prefix}.output.dense"), INNER, WIDTH);
        norm(&mut add, &format!("{prefix}.output"));
    }
    weights
}

/// The folder of a model as it is published.
fn publish(weights: &Weights, folder: &Path) {
    let (mut header, mut numbers) = (serde_json::Map::new(), Vec::new());
    header.insert("__metadata__".to_owned(), serde_json::json!({"format": "pt"}));
    for (name, (shape, values)) in weights {
        let start = numbers.len();
        numbers.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let tensor = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, numbers.len()]});
        header.insert(name.clone(), tensor);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let file = [&(header.len() as u64).to_le_bytes()[..], &header, &numbers].concat();
    fs::write(folder.join("model.safetensors"), file).unwrap();
    fs::write(folder.join("vocab.txt"), WORDS.join("\n") + "\n").unwrap();
    let config = serde_json::json!({
        "hidden_act": "gelu", "hidden_size": WIDTH, "num_attention_heads": WIDTH / HEAD, "vocab_size": WORDS.len(),
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

/// A folder with a converted model.
struct Made {
    _folder: TempDir,
    published: PathBuf,
    file: PathBuf,
}

fn made(seed: u64) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let (published, file) = (folder.path().to_owned(), folder.path().join(FILE));
    publish(&random_weights(seed), &published);
    convert::convert_as(&published, &file, TEST_MODEL, POSITIONS).unwrap();
    Made { _folder: folder, published, file }
}

fn open(file: &Path) -> Result<Minilm> {
    Minilm::open_as(file, TEST_MODEL)
}

fn vectors(model: &Minilm, texts: &[&str]) -> Vec<Vec<f32>> {
    model.embed(Side::Passage, texts).unwrap()
}

fn cosine(a: &[f32], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * b).sum()
}

/// BERT as its authors describe it, one token after the other.
struct Plain(Weights);

impl Plain {
    fn row(&self, name: &str, row: usize) -> Vec<f64> {
        let (shape, values) = &self.0[name];
        values[row * shape[1]..][..shape[1]].iter().map(|value| f64::from(*value)).collect()
    }

    fn linear(&self, name: &str, input: &[f64]) -> Vec<f64> {
        let biases = &self.0[&format!("{name}.bias")].1;
        let output = |(at, bias): (usize, &f32)| {
            let weights = self.row(&format!("{name}.weight"), at);
            weights.iter().zip(input).map(|(weight, input)| weight * input).sum::<f64>() + f64::from(*bias)
        };
        biases.iter().enumerate().map(output).collect()
    }

    fn norm(&self, name: &str, row: &[f64]) -> Vec<f64> {
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / row.len() as f64;
        let weights = self.0[&format!("{name}.LayerNorm.weight")].1.iter();
        let factors = weights.zip(&self.0[&format!("{name}.LayerNorm.bias")].1);
        let value = |(value, (weight, bias)): (&f64, (&f32, &f32))| {
            (value - mean) / variance.sqrt() * f64::from(*weight) + f64::from(*bias)
        };
        row.iter().zip(factors).map(value).collect()
    }

    fn attention(&self, prefix: &str, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let all = |part: &str| -> Vec<Vec<f64>> {
            rows.iter().map(|row| self.linear(&format!("{prefix}.attention.self.{part}"), row)).collect()
        };
        let (queries, keys, values) = (all("query"), all("key"), all("value"));
        let mut out = vec![vec![0.0; WIDTH]; rows.len()];
        for (query, out) in queries.iter().zip(&mut out) {
            for head in (0..WIDTH).step_by(HEAD) {
                let product = |key: &Vec<f64>| -> f64 { (head..head + HEAD).map(|at| query[at] * key[at]).sum() };
                let shares: Vec<f64> = keys.iter().map(|key| (product(key) / (HEAD as f64).sqrt()).exp()).collect();
                let sum: f64 = shares.iter().sum();
                for (share, value) in shares.iter().zip(&values) {
                    (head..head + HEAD).for_each(|at| out[at] += share / sum * value[at]);
                }
            }
        }
        out
    }

    /// Of unit length.
    fn vector(&self, pieces: &[u32]) -> Vec<f64> {
        let sum = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
        let gelu = |x: f64| 0.5 * x * (1.0 + (0.797_884_560_8 * (x + 0.044_715 * x * x * x)).tanh());
        let embedded = |(at, piece): (usize, &u32)| {
            let placed = sum(
                &self.row("embeddings.word_embeddings.weight", *piece as usize),
                &self.row("embeddings.position_embeddings.weight", at),
            );
            self.norm("embeddings", &sum(&placed, &self.row("embeddings.token_type_embeddings.weight", 0)))
        };
        let mut rows: Vec<Vec<f64>> = pieces.iter().enumerate().map(embedded).collect();
        for layer in 0..LAYERS {
            let prefix = format!("encoder.layer.{layer}");
            let attended = self.attention(&prefix, &rows);
            for (row, attended) in rows.iter_mut().zip(attended) {
                let added = self.linear(&format!("{prefix}.attention.output.dense"), &attended);
                *row = self.norm(&format!("{prefix}.attention.output"), &sum(row, &added));
                let inner = self.linear(&format!("{prefix}.intermediate.dense"), row).into_iter().map(gelu);
                let added = self.linear(&format!("{prefix}.output.dense"), &inner.collect::<Vec<_>>());
                *row = self.norm(&format!("{prefix}.output"), &sum(row, &added));
            }
        }
        let total = rows.iter().fold(vec![0.0; WIDTH], |total, row| sum(&total, row));
        let length = total.iter().map(|value| value * value).sum::<f64>().sqrt();
        total.iter().map(|value| value / length).collect()
    }
}

/// The pieces of a text of the test's vocabulary, with those that begin and end it.
fn pieces(text: &str) -> Vec<u32> {
    let vocabulary = Vocabulary::new(WORDS.join("\n")).unwrap();
    [vec![2], vocabulary.cut(text, POSITIONS - 2).ids, vec![3]].concat()
}

#[test]
fn vectors_are_those_of_the_forward_pass_written_plainly() {
    for seed in 1..6 {
        let plain = Plain(random_weights(seed));
        let made = made(seed);
        let model = open(&made.file).unwrap();
        for (text, vector) in TEXTS.iter().zip(vectors(&model, TEXTS)) {
            let found = cosine(&vector, &plain.vector(&pieces(text)));
            assert!(found > 0.999, "seed {seed}, {text}: {found}");
            let other = cosine(&vector, &plain.vector(&pieces("blue, blue red")));
            assert!(found > other, "another text's vector is no nearer");
        }
    }
}

#[test]
fn every_path_of_this_cpu_makes_the_same_vectors() {
    let made = made(7);
    let vectors_by = |path| Loaded::load(&made.file, TEST_MODEL, path).unwrap().embed(TEXTS).unwrap();
    let expected = vectors_by(matrix::Path::PORTABLE);
    for path in matrix::Path::available() {
        assert_eq!(vectors_by(path), expected, "{}", path.name());
    }
}

#[test]
fn a_text_has_the_same_vector_in_company_and_after_a_rest() {
    let made = made(8);
    let model = open(&made.file).unwrap();
    let alone: Vec<Vec<f32>> = TEXTS.iter().flat_map(|text| vectors(&model, &[text])).collect();
    // More than go through a layer together.
    let many = TEXTS.repeat(20);
    model.rest();
    assert!(model.loaded().is_none());
    for (at, vector) in vectors(&model, &many).iter().enumerate() {
        assert_eq!(*vector, alone[at % TEXTS.len()], "text {at}");
    }
    assert!(vectors(&model, &[]).is_empty());
}

#[test]
fn only_the_first_tokens_of_a_text_count() {
    let made = made(9);
    let model = open(&made.file).unwrap();
    let texts = [POSITIONS - 3, POSITIONS - 2, POSITIONS - 1, 3_000].map(|words| "red ".repeat(words));
    let vectors = vectors(&model, &texts.each_ref().map(String::as_str));
    assert_ne!(vectors[0], vectors[1]);
    assert_eq!(vectors[1], vectors[2]);
    assert_eq!(vectors[1], vectors[3]);
}

#[test]
fn a_text_without_known_words_has_no_vector() {
    let made = made(10);
    let model = open(&made.file).unwrap();
    let vectors =
        vectors(&model, &["", " \n", "日本語", "👍", "красный green синий", "red", "👍 red 👍", "red, red 日 green"]);
    let is_there: Vec<bool> = vectors.iter().map(|vector| vector.iter().any(|number| *number != 0.0)).collect();
    assert_eq!(is_there, [false, false, false, false, false, true, true, true]);
    assert!(vectors.iter().all(|vector| vector.len() == WIDTH));
}

/// What is said when the model is opened and used.
fn fault(file: &Path) -> String {
    let used = open(file).and_then(|model| model.embed(Side::Question, &["red"]));
    used.err().map(|error| error.message).unwrap_or_default()
}

#[test]
fn a_missing_or_shortened_file_is_told_apart_and_never_mapped() {
    let made = made(11);
    let whole = fs::read(&made.file).unwrap();
    for length in [0, 10, 191, 192, 1_000, whole.len() - 1] {
        fs::write(&made.file, &whole[..length]).unwrap();
        let fault = fault(&made.file);
        assert!(fault.contains("install it again") && fault.contains(&length.to_string()), "{length}: {fault}");
    }
    fs::remove_file(&made.file).unwrap();
    assert!(fault(&made.file).starts_with("cannot open the model file"), "{}", fault(&made.file));
}

#[test]
fn a_changed_byte_anywhere_is_found() {
    let made = made(12);
    let whole = fs::read(&made.file).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 97).chain(0..192).chain([whole.len() - 1]) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(&made.file, &changed).unwrap();
        let fault = fault(&made.file);
        assert!(fault.contains("install it again"), "byte {at}: {fault}");
    }
    fs::write(&made.file, &whole).unwrap();
    assert_eq!(fault(&made.file), "");
}

#[test]
fn the_file_of_another_model_is_refused() {
    let made = made(13);
    let fault = Minilm::open(&made.file).err().unwrap().message;
    assert!(fault.contains("holds random-1, not minilm"), "{fault}");
}

#[test]
fn a_model_that_is_replaced_serves_until_it_rests() {
    let made = made(14);
    let model = open(&made.file).unwrap();
    let before = vectors(&model, TEXTS);
    publish(&random_weights(15), &made.published);
    convert::convert_as(&made.published, &made.file, TEST_MODEL, POSITIONS).unwrap();
    assert_eq!(vectors(&model, TEXTS), before);
    model.rest();
    assert_ne!(vectors(&model, TEXTS), before);
}

#[test]
fn what_cannot_be_converted_is_refused_in_words_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (published, target) = (folder.path(), folder.path().join(FILE));
    let fault = |weights: &Weights, spoil: &dyn Fn(&Path)| {
        publish(weights, published);
        spoil(published);
        convert::convert_as(published, &target, TEST_MODEL, POSITIONS).err().map(|error| error.message)
    };
    let good = random_weights(16);
    let nothing = |_: &Path| {};
    let mut lacking = good.clone();
    lacking.remove("encoder.layer.1.attention.self.key.bias");
    let mut endless = good.clone();
    endless.get_mut("encoder.layer.0.output.dense.weight").unwrap().1[5] = f32::NAN;
    type Case<'a> = (&'a Weights, &'a dyn Fn(&Path), &'a str);
    let cases: [Case; 6] = [
        (&lacking, &nothing, "holds no tensor encoder.layer.1.attention.self.key.bias"),
        (&endless, &nothing, "what is no number"),
        (&good, &|folder| fs::write(folder.join("vocab.txt"), "red\ngreen\n").unwrap(), "vocab.txt is not its vocab"),
        (&good, &|folder| fs::remove_file(folder.join("vocab.txt")).unwrap(), "cannot read"),
        (&good, &|folder| fs::write(folder.join("model.safetensors"), [0xff; 64]).unwrap(), "no safetensors file"),
        (
            &good,
            &|folder| {
                let config = r#"{"hidden_act": "relu", "hidden_size": 64, "num_attention_heads": 2}"#;
                fs::write(folder.join("config.json"), config).unwrap();
            },
            "needs the activation `gelu`",
        ),
    ];
    for (weights, spoil, expected) in cases {
        let fault = fault(weights, spoil).unwrap();
        assert!(fault.contains(expected), "{fault}");
        assert!(!target.exists(), "{expected}");
    }
    assert_eq!(fault(&good, &nothing), None);
    assert!(target.exists());
}
