//! `memoria benchmark`: what retrieval is worth, measured through the real service in a store of its own. Datasets are
//! read by `dataset.rs`, asked by `run.rs` in a `home.rs`, judged by `metrics.rs` and `score.rs`, told by `report.rs`.
//! It touches nothing of the user's but the installed models, which it reads, and the report that it saves.

mod dataset;
mod home;
mod metrics;
mod report;
mod run;
mod score;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::clock;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::paths::Paths;

use super::bar::Bar;
use super::exit::Exit;
use super::process::interrupted;
use super::terminal::Out;
use dataset::Dataset;
use report::Report;

/// Measure how well questions are answered, in a store of its own
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria benchmark core-v1.json locomo.json\n  \
    memoria benchmark questions.json --set embedding.model=builtin\n  \
    memoria benchmark locomo.json --unanswerable --compare search.min_score=0.2\n\n\
    It reads scenario files of Memoria, LoCoMo's conversations, devbench's\n\
    queries, and {memories: [{id, text}], questions: [{question, relevant}]}.\n\
    Settings are at their defaults but for those that are set here.")]
pub struct Args {
    /// Files of questions; their kind is told by their shape
    #[arg(required = true, value_name = "DATASET")]
    datasets: Vec<String>,
    /// Run with this setting (repeat for more)
    #[arg(long, value_name = "KEY=VALUE", value_parser = Setting::parse)]
    set: Vec<Setting>,
    /// Run a second time with this too, and compare
    #[arg(long, value_name = "KEY=VALUE", value_parser = Setting::parse)]
    compare: Vec<Setting>,
    /// Ask only the first N questions of each dataset
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Of conversations: ask what only others answer, too
    #[arg(long)]
    unanswerable: bool,
    /// Where the report goes [default: state/benchmarks]
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// Questions of each conversation that are asked in another one's store.
const UNANSWERABLE_EACH: usize = 50;
/// Waiting for a vector must not depend on what else the machine does: quality is measured, and latency shown beside
/// it.
const WAIT_MS: &str = "10000";

/// A setting for a run, known to exist; its value is judged by the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    key: String,
    value: String,
    variable: String,
}

impl Setting {
    fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE, such as search.min_score=0.2")?;
        let known = Config::default().entries().into_iter().find(|entry| entry.key == key.trim());
        let known = known.ok_or_else(|| format!("there is no setting `{key}`; `memoria config` lists them"))?;
        Ok(Self { key: known.key, value: value.trim().to_owned(), variable: known.variable })
    }
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let datasets = args.datasets.iter().map(|path| prepared(path, &args)).collect::<Result<Vec<_>>>()?;
    let file = match &args.save {
        Some(file) => file.clone(),
        None => default_file(&Paths::from_env()?)?,
    };
    let reports = tokio::select! {
        // Heard from the first moment on.
        biased;
        () = interrupted() => return Err(Error::cancelled(
            "interrupted: the benchmark's own daemon is stopped and its folder removed; nothing was saved"
        )),
        reports = measure(&datasets, &args, out) => reports?,
    };
    save(&file, &reports)?;
    let of_all = |of: fn(&Report) -> Value| match &reports[..] {
        [one] => of(one),
        all => all.iter().map(of).collect(),
    };
    out.answer(
        || of_all(Report::as_json),
        |style| {
            let mut text: String = reports.iter().map(|report| report.as_text(style)).collect();
            text += &style.dim(&format!("Saved with every question in {}\n", file.display()));
            text
        },
    )?;
    Ok(Exit::Ok)
}

fn prepared(path: &str, args: &Args) -> Result<Dataset> {
    let mut dataset = dataset::read(path)?;
    if let Some(limit) = args.limit {
        dataset.limit(limit as usize);
    }
    if args.unanswerable {
        dataset.add_unanswerable(UNANSWERABLE_EACH)?;
    }
    Ok(dataset)
}

async fn measure(datasets: &[Dataset], args: &Args, out: &Out) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for dataset in datasets {
        let first = once(dataset, &args.set, out).await?;
        let second = match &args.compare[..] {
            [] => None,
            more => Some(once(dataset, &[&args.set[..], more].concat(), out).await?),
        };
        let named = |settings: &[Setting]| settings.iter().map(|one| format!("{}={}", one.key, one.value)).collect();
        reports.push(Report::of(dataset, first, named(&args.set), second, named(&args.compare)));
    }
    Ok(reports)
}

async fn once(dataset: &Dataset, settings: &[Setting], out: &Out) -> Result<run::Outcome> {
    let paths = Paths::from_env()?;
    let models = match Config::load(&paths)?.embedding.models_dir {
        dir if dir.is_empty() => paths.models_folder().to_string_lossy().into_owned(),
        dir => dir,
    };
    let mut variables = vec![
        ("MEMORIA_EMBEDDING_MODELS_DIR".to_owned(), models),
        ("MEMORIA_EMBEDDING_WAIT_MS".to_owned(), WAIT_MS.to_owned()),
    ];
    variables.extend(settings.iter().map(|one| (one.variable.clone(), one.value.clone())));
    let mut bar = Bar::new("questions", !out.json);
    let outcome = run::run(dataset, &variables, &mut bar).await;
    bar.clear();
    outcome
}

/// `benchmarks/20261123T140506Z.json` in the state folder.
fn default_file(paths: &Paths) -> Result<PathBuf> {
    paths.prepare()?;
    let folder = paths.state_dir.join("benchmarks");
    if !folder.is_dir() {
        super::process::make_private(&folder)?;
    }
    let now: String = clock::rfc3339(clock::now()).chars().filter(|c| !"-:".contains(*c)).collect();
    let second = now.split('.').next().unwrap_or(&now);
    Ok(folder.join(format!("{second}Z.json")))
}

fn save(file: &Path, reports: &[Report]) -> Result<()> {
    let reports: Vec<Value> = reports.iter().map(Report::with_questions).collect();
    let all = json!({
        "memoria": env!("CARGO_PKG_VERSION"),
        "at": clock::rfc3339(clock::now()),
        "reports": reports,
    });
    let mut text = serde_json::to_string_pretty(&all).map_err(|e| Error::internal(format!("write a report: {e}")))?;
    text.push('\n');
    std::fs::write(file, text).map_err(|e| Error::io(format_args!("save the report in {}", file.display()), &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_known_by_their_keys() {
        let setting = Setting::parse("search.min_score = 0.2").unwrap();
        assert_eq!((setting.variable.as_str(), setting.value.as_str()), ("MEMORIA_SEARCH_MIN_SCORE", "0.2"));
        assert!(Setting::parse("search.nothing=1").unwrap_err().contains("memoria config"));
        assert!(Setting::parse("search.top_k").unwrap_err().contains("KEY=VALUE"));
    }
}
