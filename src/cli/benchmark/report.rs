//! What a benchmark came to, as JSON and as tables. It computes means of what `run.rs` judged, and asks nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::terminal::{Paint, Style, bytes, plural};
use super::dataset::{Dataset, Part, Shape};
use super::metrics::{HIT_AT, Means, RECALL_AT, mean, percentile};
use super::run::{Answer, Outcome, Verdict};
use super::score::grade;

pub struct Report {
    name: String,
    first: Figures,
    /// With what `--compare` set.
    second: Option<Figures>,
}

/// One run of one dataset.
struct Figures {
    shape: Shape,
    outcome: Outcome,
    settings: Vec<String>,
    notes: Vec<String>,
    whole: Block,
    by_category: BTreeMap<String, Block>,
}

/// Of all questions, or of those of one category.
struct Block {
    /// Every question, whatever its kind.
    questions: usize,
    /// `None` where nothing is ranked: scenarios are read.
    means: Option<Means>,
    score: Option<f64>,
    /// Share of the unanswerable questions that nothing was the answer to, and how many those are.
    unanswered: Option<f64>,
    unanswerable: usize,
    /// Share of all questions with a relevant memory in the first five, or rightly with nothing.
    answered: Option<f64>,
}

impl Report {
    pub fn of(
        dataset: &Dataset,
        first: Outcome,
        settings: Vec<String>,
        second: Option<Outcome>,
        more: Vec<String>,
    ) -> Self {
        let both = [&settings[..], &more[..]].concat();
        Self {
            name: dataset.name.clone(),
            first: Figures::of(dataset, first, settings),
            second: second.map(|outcome| Figures::of(dataset, outcome, both)),
        }
    }

    pub fn as_json(&self) -> Value {
        self.shaped(Figures::as_json)
    }

    /// For the file: each question with what became of it.
    pub fn with_questions(&self) -> Value {
        self.shaped(|figures, name| {
            let mut value = figures.as_json(name);
            value["details"] = figures.outcome.answers.iter().map(detail).collect();
            value
        })
    }

    fn shaped(&self, of: impl Fn(&Figures, &str) -> Value) -> Value {
        let Some(second) = &self.second else { return of(&self.first, &self.name) };
        let pairs = self.first.flat().into_iter().zip(second.flat());
        let difference: Map<String, Value> =
            pairs.map(|((name, a), (_, b))| (name, json!(a.zip(b).map(|(a, b)| rounded(b - a))))).collect();
        json!({
            "dataset": self.name,
            "first": of(&self.first, &self.name),
            "second": of(second, &self.name),
            "difference": difference,
        })
    }

    pub fn as_text(&self, style: &Style) -> String {
        let mut text = self.first.headline(&self.name, style);
        match &self.second {
            None => text += &self.first.table(style),
            Some(second) => text += &self.comparison(second, style),
        }
        let notes = self.first.notes.iter().chain(self.second.iter().flat_map(|second| &second.notes));
        let mut said: Vec<&String> = Vec::new();
        for note in notes {
            if !said.contains(&note) {
                text += &style.dim(&style.block(&format!("Note: {note}."), 0));
                said.push(note);
            }
        }
        text.push('\n');
        text
    }

    fn comparison(&self, second: &Figures, style: &Style) -> String {
        let name = |figures: &Figures| match figures.settings.is_empty() {
            true => "defaults".to_owned(),
            false => figures.settings.join(" "),
        };
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
        let rows: Vec<Vec<String>> = (self.first.flat().into_iter().zip(second.flat()))
            .filter(|((_, a), (_, b))| a.is_some() || b.is_some())
            .map(|((figure, a), (_, b))| {
                let difference = a.zip(b).map_or_else(|| "-".to_owned(), |(a, b)| format!("{:+.3}", b - a));
                vec![figure, shown(a), shown(b), difference]
            })
            .collect();
        let sides = format!("first:  {}\nsecond: {}\n", name(&self.first), name(second));
        let columns =
            [("FIGURE", Paint::Plain), ("FIRST", Paint::Plain), ("SECOND", Paint::Plain), ("DIFFERENCE", Paint::Bold)];
        style.dim(&sides) + &style.table(&columns, &rows)
    }
}

impl Figures {
    fn of(dataset: &Dataset, outcome: Outcome, settings: Vec<String>) -> Self {
        let mut categories: BTreeMap<String, Vec<&Answer>> = BTreeMap::new();
        for answer in outcome.answers.iter().filter(|answer| !answer.category.is_empty()) {
            categories.entry(answer.category.clone()).or_default().push(answer);
        }
        let score = |difficulty: Option<&str>| {
            let of = outcome.scenarios.iter().filter(|one| difficulty.is_none_or(|it| it == one.difficulty));
            mean(of.map(|one| one.score))
        };
        let by_category = categories
            .into_iter()
            .map(|(name, answers)| {
                let block = Block::of(&answers, score(Some(&name)));
                (name, block)
            })
            .collect();
        let whole: Vec<&Answer> = outcome.answers.iter().filter(|answer| answer.part == Part::Whole).collect();
        let mut all = Block::of(&whole, score(None));
        // The unanswerable stand apart, and are a figure of the whole.
        let apart: Vec<&Answer> = outcome.answers.iter().filter(|a| is_unanswerable(a)).collect();
        let apart = Block::of(&apart, None);
        (all.unanswered, all.unanswerable) = (apart.unanswered, apart.unanswerable);
        let notes = dataset.notes.iter().chain(&outcome.notes).cloned().collect();
        Self { shape: dataset.shape, settings, notes, whole: all, by_category, outcome }
    }

    fn latency(&self) -> [Option<f64>; 2] {
        let took: Vec<f64> = self.outcome.answers.iter().map(|answer| answer.took_ms).collect();
        [percentile(&took, 0.5), percentile(&took, 0.99)]
    }

    fn tokens_mean(&self) -> Option<f64> {
        let whole = self.outcome.answers.iter().filter(|answer| answer.part == Part::Whole);
        mean(whole.map(|answer| f64::from(answer.tokens)))
    }

    fn rss_mb(&self) -> f64 {
        self.outcome.rss_bytes as f64 / 1e6
    }

    fn as_json(&self, name: &str) -> Value {
        let [p50, p99] = self.latency();
        let by_category: Map<String, Value> =
            self.by_category.iter().map(|(name, block)| (name.clone(), Value::Object(block.as_json()))).collect();
        let mut value = Map::new();
        value.insert("dataset".into(), json!(name));
        value.append(&mut self.whole.as_json());
        let more = json!({
            "latency_ms": {"p50": p50.map(rounded), "p99": p99.map(rounded)},
            "tokens_mean": self.tokens_mean().map(rounded),
            "rss_mb": rounded(self.rss_mb()),
            "by_category": by_category,
            "unanswered": self.whole.unanswered.map(rounded),
            "unanswerable": self.whole.unanswerable,
            "answered": self.whole.answered.map(rounded),
            "model": self.outcome.model,
            "settings": self.settings,
            "seconds": rounded(self.outcome.seconds),
            "scenarios": self.outcome.scenarios.iter().map(|one| json!({
                "scenario": one.name, "score": rounded(one.score), "failed_steps": one.failed_steps,
            })).collect::<Vec<_>>(),
            "notes": self.notes,
        });
        if let Value::Object(mut more) = more {
            value.append(&mut more);
        }
        Value::Object(value)
    }

    /// Every figure that can be compared, in the order of the tables.
    fn flat(&self) -> Vec<(String, Option<f64>)> {
        let means = self.whole.means.as_ref();
        let mut flat = Vec::new();
        for (at, k) in HIT_AT.iter().enumerate() {
            flat.push((format!("hit@{k}"), means.map(|means| means.hit[at])));
        }
        for (at, k) in RECALL_AT.iter().enumerate() {
            flat.push((format!("recall@{k}"), means.map(|means| means.recall[at])));
        }
        let [p50, p99] = self.latency();
        flat.extend(
            [
                ("ndcg@10", means.map(|means| means.ndcg_10)),
                ("mrr", means.map(|means| means.mrr)),
                ("score", self.whole.score),
                ("answered", self.whole.answered),
                ("unanswered", self.whole.unanswered),
                ("latency p50 ms", p50),
                ("latency p99 ms", p99),
                ("tokens", self.tokens_mean()),
                ("rss mb", Some(self.rss_mb())),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        flat
    }

    fn headline(&self, name: &str, style: &Style) -> String {
        let mut worlds: Vec<&String> = self.outcome.answers.iter().map(|answer| &answer.world).collect();
        worlds.dedup();
        let worlds = match self.shape {
            Shape::Scenarios => plural(worlds.len() as u64, "scenario, ", "scenarios, "),
            Shape::Locomo => plural(worlds.len() as u64, "conversation, ", "conversations, "),
            Shape::Devbench | Shape::Plain => String::new(),
        };
        let model =
            self.outcome.model.as_deref().map_or_else(|| "words alone".to_owned(), |name| format!("model {name}"));
        let questions = plural(self.whole.questions as u64, "question", "questions");
        format!("{}: {worlds}{questions}, {model}\n", style.bold(name))
    }

    fn table(&self, style: &Style) -> String {
        let mut text = if self.whole.means.is_some() { self.ranked_table(style) } else { self.score_table(style) };
        if let Some(answered) = self.whole.answered {
            text += &format!("answered within the first 5, or rightly with nothing: {}\n", percent(answered));
        }
        if let Some(unanswered) = self.whole.unanswered {
            let count = self.whole.unanswerable;
            text += &format!("unanswerable: {} of {count} answered with nothing\n", percent(unanswered));
        }
        let [p50, p99] = self.latency().map(|ms| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.2} ms")));
        let tokens = self.tokens_mean().unwrap_or_default();
        text += &format!(
            "latency p50 {p50}, p99 {p99}; {tokens:.0} tokens an answer; daemon {}\n",
            bytes(self.outcome.rss_bytes)
        );
        text
    }

    fn ranked_table(&self, style: &Style) -> String {
        const NAMES: [&str; 10] =
            ["CATEGORY", "ASKED", "HIT@1", "@5", "@10", "RECALL@5", "@10", "@20", "NDCG@10", "MRR"];
        let row = |name: &str, block: &Block| {
            let means = block.means.as_ref()?;
            let figures = means.hit.iter().chain(&means.recall).chain([&means.ndcg_10, &means.mrr]);
            let cells = figures.map(|figure| format!("{figure:.3}"));
            Some([name.to_owned(), means.questions.to_string()].into_iter().chain(cells).collect::<Vec<_>>())
        };
        let rows = std::iter::once(("all", &self.whole));
        let rows = rows.chain(self.by_category.iter().map(|(name, block)| (self.category(name), block)));
        let rows: Vec<_> = rows.filter_map(|(name, block)| row(name, block)).collect();
        style.table(&NAMES.map(|name| (name, Paint::Plain)), &rows)
    }

    fn score_table(&self, style: &Style) -> String {
        let row = |name: &str, asked: usize, score: f64| {
            vec![name.to_owned(), asked.to_string(), format!("{score:.2}"), grade(score).to_owned()]
        };
        let mut rows = Vec::new();
        rows.extend(self.whole.score.map(|score| row("all", self.whole.questions, score)));
        for (name, block) in &self.by_category {
            rows.extend(block.score.map(|score| row(name, block.questions, score)));
        }
        for one in &self.outcome.scenarios {
            let asked = self.outcome.answers.iter().filter(|answer| answer.world == one.name).count();
            rows.push(row(&format!("  {}", one.name), asked, one.score));
        }
        let columns = ["SCENARIOS", "ASKED", "SCORE", "GRADE"].map(|name| (name, Paint::Plain));
        let mut text = style.table(&columns, &rows);
        for one in &self.outcome.scenarios {
            for failed in &one.failed_steps {
                text += &style.block(&format!("{}, {failed}", one.name), 2);
            }
        }
        text
    }

    /// LoCoMo numbers its categories.
    fn category<'a>(&self, name: &'a str) -> &'a str {
        match (self.shape, name) {
            (Shape::Locomo, "1") => "1 multi-hop",
            (Shape::Locomo, "2") => "2 temporal",
            (Shape::Locomo, "3") => "3 open-domain",
            (Shape::Locomo, "4") => "4 single-hop",
            (Shape::Locomo, "5") => "5 (not in all)",
            (_, name) => name,
        }
    }
}

impl Block {
    fn of(answers: &[&Answer], score: Option<f64>) -> Self {
        let ranked = answers.iter().filter_map(|answer| match &answer.verdict {
            Verdict::Ranked(judged, _) => Some(judged),
            _ => None,
        });
        let means = Means::of(ranked);
        let empty = |answer: &&Answer| match answer.verdict {
            Verdict::Unanswerable { is_empty } => Some(if is_empty { 1.0 } else { 0.0 }),
            _ => None,
        };
        let right = |answer: &&Answer| match &answer.verdict {
            Verdict::Ranked(judged, _) => Some(judged.hit(5)),
            _ => empty(answer),
        };
        let unanswerable = answers.iter().filter_map(empty).count();
        Self {
            questions: answers.len(),
            unanswered: mean(answers.iter().filter_map(empty)),
            unanswerable,
            // Elsewhere it says no more than hit@5.
            answered: if unanswerable > 0 { mean(answers.iter().filter_map(right)) } else { None },
            means: Some(means).filter(|means| means.questions > 0),
            score,
        }
    }

    fn as_json(&self) -> Map<String, Value> {
        let at = |places: [usize; 3], of: fn(&Means) -> [f64; 3]| {
            let values = self.means.as_ref().map(of)?;
            let all = places.iter().zip(values).map(|(k, value)| (k.to_string(), json!(rounded(value))));
            Some(Value::Object(all.collect()))
        };
        let fields = json!({
            "questions": self.questions,
            "hit": at(HIT_AT, |means| means.hit),
            "recall": at(RECALL_AT, |means| means.recall),
            "ndcg_10": self.means.as_ref().map(|means| rounded(means.ndcg_10)),
            "mrr": self.means.as_ref().map(|means| rounded(means.mrr)),
            "score": self.score.map(rounded),
            "grade": self.score.map(grade),
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}

fn is_unanswerable(answer: &Answer) -> bool {
    matches!(answer.verdict, Verdict::Unanswerable { .. })
}

fn detail(answer: &Answer) -> Value {
    let mut value = json!({
        "world": answer.world,
        "question": answer.question,
        "category": answer.category,
        "hits": answer.hits,
        "tokens": answer.tokens,
        "ms": rounded(answer.took_ms),
    });
    match &answer.verdict {
        // Where each relevant memory stands in the answer, 1 for the best; 0 where it is not in it.
        Verdict::Ranked(_, places) => value["places"] = json!(places),
        Verdict::Unanswerable { is_empty } => value["is_empty"] = json!(is_empty),
        Verdict::Read(quality) => {
            value["precision"] = json!(rounded(quality.precision));
            value["recall"] = json!(rounded(quality.recall));
            value["noise_free"] = json!(rounded(quality.noise_free));
            value["passes"] = json!(quality.passes());
        }
    }
    value
}

/// Four digits say all that a thousand questions can.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}
