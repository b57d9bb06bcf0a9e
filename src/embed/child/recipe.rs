//! What the files of a model's folder say about how its vectors are made, as sentence-transformers and the model hub
//! write them. Nothing is loaded: the weights are looked at for their id alone.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Embedding, Pooling};
use crate::error::{Error, Result};
use crate::model::DIMS_MAX;

/// Pieces of a text that are read at most, whatever the model could: more takes seconds on one core.
const PIECES_MAX: usize = 512;
/// Bytes of a JSON file of a model that are read; multilingual tokenizers have 17 MB.
const JSON_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Of weights, so many spots of so many bytes make the id, besides their size: reading all of them would take seconds.
const SPOTS: u64 = 64;
const SPOT_BYTES: usize = 16 * 1024;

/// Where the weights may be: int8 ones first, which are three times as fast and take a quarter of the memory.
const MODEL_FILES: &[&str] = &["model_quantized.onnx", "model_int8.onnx", MODEL_OF_THIS_CPU, "model.onnx"];
#[cfg(target_arch = "x86_64")]
const MODEL_OF_THIS_CPU: &str = "model_quint8_avx2.onnx";
#[cfg(not(target_arch = "x86_64"))]
const MODEL_OF_THIS_CPU: &str = "model_qint8_arm64.onnx";

/// How the outputs for the pieces of a text become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pool {
    Mean,
    First,
    Last,
}

/// All that the process needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// With the tokenizer.
    pub folder: PathBuf,
    /// The weights.
    pub model: PathBuf,
    pub pool: Pool,
    /// Pieces of a text at most, the special ones counted.
    pub pieces_max: usize,
    /// Of the model's own vectors.
    pub model_dims: u16,
    /// That are kept, from the first on.
    pub dims: u16,
}

/// What the parent alone needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub recipe: Recipe,
    /// Before a question, before a passage.
    pub prefixes: [String; 2],
    /// Changes with whatever changes vectors.
    pub fingerprint: String,
}

/// Reads a folder.
///
/// # Errors
/// `NotFound` where a file is missing, `Invalid` where a model needs what cannot be done here; always a sentence that
/// names the file.
pub fn read(folder: &Path, settings: &Embedding) -> Result<Found> {
    let folder = std::path::absolute(folder).map_err(|e| Error::io(format_args!("use {}", folder.display()), &e))?;
    let model = model_file(&folder)?;
    let config = json(&folder.join("config.json"))?;
    let pooling = modules(&folder)?;
    let pool = match settings.pooling {
        Pooling::Mean => Pool::Mean,
        Pooling::Cls => Pool::First,
        Pooling::Last => Pool::Last,
        Pooling::Auto => pool_of(&folder, &pooling)?,
    };
    let model_dims = model_dims(&folder, &config, &pooling)?;
    let dims = match u16::try_from(settings.dims).unwrap_or(u16::MAX) {
        0 => model_dims,
        dims if dims <= model_dims => dims,
        dims => {
            return Err(Error::invalid(format!(
                "embedding.dims is {dims}, and the model in {} has only {model_dims} dimensions: set it to 0 for all",
                folder.display()
            )));
        }
    };
    let recipe = Recipe { pieces_max: pieces_max(&folder, &config)?, folder, model, pool, model_dims, dims };
    let prefixes = prefixes(&recipe.folder, settings)?;
    let fingerprint = fingerprint(&recipe, &prefixes)?;
    Ok(Found { recipe, prefixes, fingerprint })
}

fn model_file(folder: &Path) -> Result<PathBuf> {
    let places = [folder.to_owned(), folder.join("onnx")];
    let named = MODEL_FILES.iter().flat_map(|name| places.iter().map(move |place| place.join(name)));
    if let Some(found) = named.into_iter().find(|path| path.is_file()) {
        return Ok(found);
    }
    let is_model = |path: &PathBuf| path.extension().is_some_and(|end| end == "onnx");
    let entries = places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
    let mut others: Vec<_> = entries.map(|entry| entry.path()).filter(is_model).collect();
    others.sort();
    let shown = folder.display();
    match others.as_slice() {
        [only] => Ok(only.clone()),
        [] if !folder.is_dir() => Err(Error::not_found(format!("there is no folder {shown}"))),
        [] => Err(Error::not_found(format!(
            "{shown} holds no ONNX model: it needs model.onnx (or onnx/model.onnx) beside config.json and tokenizer.json"
        ))),
        many => {
            let names: Vec<_> = many.iter().filter_map(|path| path.file_name()?.to_str()).collect();
            Err(Error::invalid(format!(
                "{shown} holds several models ({}): rename the one that is meant to model.onnx",
                names.join(", ")
            )))
        }
    }
}

/// `Null` where there is no such file.
pub fn json(path: &Path) -> Result<Value> {
    let failed = |e: std::io::Error| Error::io(format_args!("read {}", path.display()), &e);
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Value::Null),
        Err(e) => return Err(failed(e)),
    };
    let mut text = String::new();
    file.take(JSON_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > JSON_BYTES_MAX {
        return Err(Error::too_large(format!("{} has more than {JSON_BYTES_MAX} bytes", path.display())));
    }
    serde_json::from_str(&text).map_err(|e| Error::corrupt(format!("{} is not JSON: {e}", path.display())))
}

/// The configuration of the pooling that `modules.json` names; refuses what stands after it and would be left out.
fn modules(folder: &Path) -> Result<Value> {
    let modules = json(&folder.join("modules.json"))?;
    let mut pooling_folder = "1_Pooling".to_owned();
    for module in modules.as_array().into_iter().flatten() {
        let kind = module["type"].as_str().and_then(|kind| kind.rsplit('.').next()).unwrap_or_default();
        match kind {
            "Transformer" | "Normalize" => {}
            "Pooling" => module["path"].as_str().unwrap_or_default().clone_into(&mut pooling_folder),
            _ => {
                return Err(Error::invalid(format!(
                    "the model in {} has a layer `{kind}` after its network, which ONNX files do not hold and Memoria \
                     does not compute: choose a model without it, or serve it behind an endpoint (embedding.model = \
                     \"http\")",
                    folder.display()
                )));
            }
        }
    }
    json(&folder.join(pooling_folder).join("config.json"))
}

fn pool_of(folder: &Path, pooling: &Value) -> Result<Pool> {
    let is_set = |key: &str| pooling[key].as_bool().unwrap_or_default();
    let named = pooling["pooling_mode"].as_str();
    let known = [
        ("pooling_mode_mean_tokens", "mean", Pool::Mean),
        ("pooling_mode_cls_token", "cls", Pool::First),
        ("pooling_mode_lasttoken", "lasttoken", Pool::Last),
    ];
    let modes = ["pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens"];
    let strange = modes.iter().copied().find(|key| is_set(key));
    let mut found = known.iter().filter(|(key, name, _)| is_set(key) || named == Some(*name)).map(|(.., pool)| *pool);
    match (found.next(), found.next(), strange) {
        (Some(pool), None, None) => Ok(pool),
        (None, None, None) if named.is_none() => Ok(Pool::Mean),
        _ => Err(Error::invalid(format!(
            "the model in {} pools its outputs in a way that is not known here ({}): Memoria knows the mean, the first \
             and the last (embedding.pooling)",
            folder.display(),
            strange.or(named).unwrap_or("several at once")
        ))),
    }
}

fn model_dims(folder: &Path, config: &Value, pooling: &Value) -> Result<u16> {
    let of_config = ["hidden_size", "d_model", "dim", "n_embd"].iter().map(|key| &config[*key]);
    let given = std::iter::once(&pooling["word_embedding_dimension"]).chain(of_config).find_map(Value::as_u64);
    match given.and_then(|dims| u16::try_from(dims).ok()) {
        Some(dims) if (1..=DIMS_MAX).contains(&dims) => Ok(dims),
        Some(dims) => Err(Error::invalid(format!(
            "the model in {} has {dims} dimensions; 1 to {DIMS_MAX} can be used",
            folder.display()
        ))),
        None => Err(Error::not_found(format!(
            "{} does not say how many dimensions the model has: it needs the model's config.json with `hidden_size`",
            folder.display()
        ))),
    }
}

fn pieces_max(folder: &Path, config: &Value) -> Result<usize> {
    let sentence = json(&folder.join("sentence_bert_config.json"))?;
    let tokenizer = json(&folder.join("tokenizer_config.json"))?;
    // Models of RoBERTa's family number their positions from the padding on.
    let is_roberta = ["roberta", "mpnet", "camembert"]
        .iter()
        .any(|name| config["model_type"].as_str().is_some_and(|kind| kind.contains(name)));
    let positions =
        config["max_position_embeddings"].as_u64().map(|all| all.saturating_sub(if is_roberta { 2 } else { 0 }));
    // `model_max_length` is 1e30 where nobody said: that is no whole number, and passed over.
    let given = [sentence["max_seq_length"].as_u64(), tokenizer["model_max_length"].as_u64(), positions];
    let most = given.into_iter().flatten().filter_map(|most| usize::try_from(most).ok()).min().unwrap_or(PIECES_MAX);
    Ok(most.clamp(8, PIECES_MAX))
}

fn prefixes(folder: &Path, settings: &Embedding) -> Result<[String; 2]> {
    let config = json(&folder.join("config_sentence_transformers.json"))?;
    let prompt = |set: &str, names: &[&str]| match set {
        "" => names.iter().find_map(|name| config["prompts"][*name].as_str()).unwrap_or_default().to_owned(),
        set => set.to_owned(),
    };
    Ok([
        prompt(&settings.question_prefix, &["query", "question", "search_query"]),
        prompt(&settings.passage_prefix, &["passage", "document", "corpus", "search_document"]),
    ])
}

fn fingerprint(recipe: &Recipe, prefixes: &[String; 2]) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut weights = vec![recipe.model.clone()];
    // Where weights above 2 GB lie, and many below.
    for end in ["_data", ".data"] {
        let mut beside = recipe.model.clone().into_os_string();
        beside.push(end);
        weights.push(beside.into());
    }
    for path in weights.iter().filter(|path| path.is_file()) {
        spots(path, &mut hasher).map_err(|e| Error::io(format_args!("read {}", path.display()), &e))?;
    }
    for name in ["tokenizer.json", "vocab.txt"] {
        match fs::read(recipe.folder.join(name)) {
            Ok(bytes) => {
                hasher.update(&(bytes.len() as u64).to_le_bytes());
                hasher.update(&bytes);
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io(format_args!("read {name} of {}", recipe.folder.display()), &e)),
        }
    }
    let [question, passage] = prefixes;
    let Recipe { pool, pieces_max, dims, .. } = recipe;
    hasher.update(format!("{question}\0{passage}\0{pool:?} {pieces_max} {dims}").as_bytes());
    Ok(hasher.finalize().to_hex().to_string())
}

fn spots(path: &Path, hasher: &mut blake3::Hasher) -> std::io::Result<()> {
    let mut file = fs::File::open(path)?;
    let bytes = file.metadata()?.len();
    hasher.update(&bytes.to_le_bytes());
    let mut spot = vec![0; SPOT_BYTES];
    let last = bytes.saturating_sub(SPOT_BYTES as u64);
    for n in 0..SPOTS {
        file.seek(SeekFrom::Start(last / (SPOTS - 1) * n))?;
        let mut filled = 0;
        while filled < spot.len() {
            match file.read(&mut spot[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        hasher.update(&spot[..filled]);
    }
    file.seek(SeekFrom::Start(last))?;
    hasher.update_reader(file)?;
    Ok(())
}
