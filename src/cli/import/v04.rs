//! `memoria import mysql://…`: a database of Memoria v0.4. Each chain of corrected memories becomes one memory with its
//! history, in the order of time, and with what was said of it; branches and snapshots become ours, by what they hold.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use super::batch::Refused;
use super::{Args, Exit, REASONS_SHOWN, Tally, as_json, cautions, unexpected};
use crate::cli::bar::Bar;
use crate::cli::terminal::{Out, Style, one_line, plural};
use crate::client::Pipeline;
use crate::engine::matrixone::settings::Settings;
use crate::engine::matrixone::v04::{self, Old, OldMemory};
use crate::error::{Error, Result};
use crate::model::{Confidence, Feedback, Kind, MemoryId, Name, OpId, SessionId, SubjectId};
use crate::paths::Paths;
use crate::wire::message::{Branch, ClientKind, Import, Request, Response, Row, RowStep, Snapshot, Tiers, View};

/// Rows of one commit.
const ROWS_MAX: usize = 1_000;
/// Bytes of texts and metadata of one commit.
const BYTES_MAX: usize = 500_000;

/// One conversation with the daemon, whose operations are known again by what they say: what was done before an
/// interruption is not done again, nor is what was done before at all, since no reply is acknowledged.
struct Sender {
    pipeline: Pipeline,
    identity: blake3::Hasher,
    count: u64,
    template: Import,
    tally: Tally,
    refused: Refused,
    bar: Bar,
    rows: u64,
    all: u64,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let settings = settings(&args.file)?;
    let place = settings.place();
    let read = {
        let handle = Handle::current();
        tokio::task::spawn_blocking(move || v04::read(&settings, handle)).await
    };
    let old = read.map_err(|_| Error::internal("the old database could not be read"))??;
    if let Some(other) = old.main.iter().find(|memory| memory.user != old.main[0].user) {
        return Err(Error::invalid(format!(
            "{place} holds memories of more than one user ({} and {}), and they would be mixed: copy one user's rows \
             into a database of their own first",
            old.main[0].user, other.user
        )));
    }
    let branch = match args.branch {
        Some(branch) => branch,
        None => super::current_branch().await?,
    };
    let mut problems = old.problems.clone();
    let story = Story::of(&old);
    let template = Import {
        branch: Some(branch.clone()),
        agent: args.agent,
        place: args.project.unwrap_or_default(),
        file: place.clone(),
        rows: vec![],
        tiers: if args.keep_trust { Tiers::Kept } else { Tiers::Lowered },
    };
    let mut sender = Sender::new(&place, template, story.size(), !out.json).await?;
    sender.send_all(&branch, story.main).await?;
    let mut made = (0, 0);
    for (name, rows) in story.branches {
        match sender.branch(&name, &branch, rows).await {
            Ok(()) => made.0 += 1,
            Err(error) => problems.push(format!("branch `{name}`: {error}")),
        }
    }
    for (name, rows) in story.snapshots {
        match sender.snapshot(&name, &branch, rows).await {
            Ok(()) => made.1 += 1,
            Err(error) => problems.push(format!("snapshot `{name}`: {error}")),
        }
    }
    sender.end(&branch, made, &problems, out).await
}

/// A password in the address would be in the list of processes: it is taken from the environment.
fn settings(url: &str) -> Result<Settings> {
    let mut settings = Settings::from_url(url)?;
    if settings.password.reveal().is_empty() {
        settings.password = crate::engine::matrixone::settings::password()?;
    }
    Ok(settings)
}

/// What is to be sent, in order.
struct Story {
    main: Vec<Row>,
    /// What is other than on main.
    branches: Vec<(String, Vec<Row>)>,
    snapshots: Vec<(String, Vec<Row>)>,
}

impl Story {
    fn of(old: &Old) -> Self {
        let mut chains = Chains::default();
        let others = old.branches.iter().chain(&old.snapshots);
        old.main.iter().chain(others.flat_map(|(_, rows)| rows)).for_each(|memory| chains.add(memory));
        let mut rows = Rows { chains: &chains, stats: &old.stats, counted: HashSet::new() };
        let mut told: Vec<&OldMemory> = old.main.iter().collect();
        told.sort_by_key(|memory| (memory.created_at, &memory.id));
        let mut known = HashSet::new();
        let mut main = Vec::new();
        for memory in &told {
            let step = if known.insert(chains.root(&memory.id)) { RowStep::Store } else { RowStep::Replace };
            main.push(rows.row(memory, step, None));
        }
        let (live, gone) = (chains.live(&old.main), told.iter().rev());
        let mut removed = HashSet::new();
        for memory in gone {
            let root = chains.root(&memory.id);
            if !live.contains_key(root) && removed.insert(root) {
                main.push(rows.row(memory, RowStep::Remove, None));
            }
        }
        let mut places: Vec<(String, Vec<Row>)> = Vec::new();
        for (name, held) in old.branches.iter().chain(&old.snapshots) {
            let there = chains.live(held);
            let mut changes = Vec::new();
            for (root, memory) in &there {
                match live.get(root) {
                    // What was stored anywhere before is stored here as a memory of its own.
                    None if known.insert(*root) => changes.push(rows.row(memory, RowStep::Store, None)),
                    None => changes.push(rows.row(memory, RowStep::Store, Some(name.as_str()))),
                    Some(here) if !says_the_same(here, memory) => {
                        changes.push(rows.row(memory, RowStep::Replace, None));
                    }
                    Some(_) => {}
                }
            }
            let gone = live.iter().filter(|(root, _)| !there.contains_key(*root));
            changes.extend(gone.map(|(_, memory)| rows.row(memory, RowStep::Remove, None)));
            places.push((name.clone(), changes));
        }
        let snapshots = places.split_off(old.branches.len());
        Self { main, branches: places, snapshots }
    }

    fn size(&self) -> u64 {
        let others = self.branches.iter().chain(&self.snapshots).map(|(_, rows)| rows.len());
        (self.main.len() + others.sum::<usize>()) as u64
    }
}

fn says_the_same(one: &OldMemory, other: &OldMemory) -> bool {
    let said = |memory: &OldMemory| (memory.text.clone(), memory.kind.clone(), memory.trust.clone());
    said(one) == said(other) && one.metadata == other.metadata && one.subject == other.subject
}

/// Which memory each row is a state of: a row that superseded another goes on where that one was.
#[derive(Default)]
struct Chains(HashMap<String, String>);

impl Chains {
    fn add(&mut self, memory: &OldMemory) {
        if let Some(next) = &memory.superseded_by {
            self.0.entry(next.clone()).or_insert_with(|| memory.id.clone());
        }
    }

    /// The first row of its chain; a circle ends where it was entered.
    fn root<'a>(&'a self, id: &'a str) -> &'a str {
        let mut at = id;
        for _ in 0..self.0.len() {
            match self.0.get(at) {
                Some(before) if before != id => at = before,
                _ => break,
            }
        }
        at
    }

    /// The living row of each chain; of several, the newest.
    fn live<'a>(&'a self, rows: &'a [OldMemory]) -> BTreeMap<&'a str, &'a OldMemory> {
        let mut live: BTreeMap<&str, &OldMemory> = BTreeMap::new();
        for memory in rows.iter().filter(|memory| memory.is_active && memory.superseded_by.is_none()) {
            let known = live.entry(self.root(&memory.id)).or_insert(memory);
            if known.created_at < memory.created_at {
                *known = memory;
            }
        }
        live
    }
}

/// What makes rows of memories.
struct Rows<'a> {
    chains: &'a Chains,
    stats: &'a HashMap<String, (u32, Feedback)>,
    /// Those of which it was told what was said: a memory is in several places, and its words count once.
    counted: HashSet<&'a str>,
}

impl<'a> Rows<'a> {
    /// `apart` names the place where it is another memory than the one of the same row elsewhere.
    fn row(&mut self, memory: &'a OldMemory, step: RowStep, apart: Option<&str>) -> Row {
        let (reads, said) = self.stats.get(&memory.id).copied().unwrap_or_default();
        let feedback = if self.counted.insert(&memory.id) { said } else { Feedback::default() };
        let apart = apart.map(|place| format!(" on {place}")).unwrap_or_default();
        let hash = format!("memoria v0.4 {} {}{apart}", memory.user, self.chains.root(&memory.id));
        let hash = blake3::hash(hash.as_bytes());
        let id = MemoryId(std::array::from_fn(|at| hash.as_bytes()[at]));
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let share = memory.confidence.clamp(0.0, 1.0);
        Row {
            text: memory.text.clone(),
            kind: memory.kind.parse::<Kind>().ok(),
            trust: memory.trust.parse().ok(),
            confidence: Some(Confidence((share * 1000.0).round() as u16)),
            session: text(&memory.session).and_then(|session| SessionId::new(session).ok()),
            subject: text(&memory.subject).and_then(|subject| SubjectId::new(subject).ok()),
            agent: text(&memory.author),
            created_at: Some(memory.created_at),
            observed_at: Some(memory.observed_at),
            metadata: metadata(memory, reads).to_string(),
            id: Some(id),
            step,
            feedback,
            ..Row::default()
        }
    }
}

/// The old one's, and under `v04` what has no place of its own here.
fn metadata(memory: &OldMemory, reads: u32) -> Value {
    let mut own: Map<String, Value> = serde_json::from_str(&memory.metadata).unwrap_or_default();
    let mut old = json!({"id": memory.id, "user": memory.user});
    if memory.kind.parse::<Kind>().is_err() {
        old["kind"] = json!(memory.kind);
    }
    if reads > 0 {
        old["access_count"] = json!(reads);
    }
    own.insert("v04".to_owned(), old);
    Value::Object(own)
}

impl Sender {
    async fn new(place: &str, template: Import, all: u64, is_wanted: bool) -> Result<Self> {
        let mut identity = blake3::Hasher::new();
        identity.update(format!("{place} {:?}", template.place).as_bytes());
        let pipeline = Pipeline::connect_or_start(&Paths::from_env()?, ClientKind::Cli).await?;
        Ok(Self {
            pipeline,
            identity,
            count: 0,
            template,
            tally: Tally::default(),
            refused: Refused::default(),
            bar: Bar::new("memories", is_wanted),
            rows: 0,
            all,
        })
    }

    async fn ask(&mut self, request: Request, bytes: usize) -> Result<Response> {
        self.count += 1;
        self.identity.update(format!("{request:?}").as_bytes());
        let hash = self.identity.finalize();
        let op = OpId { nonce: std::array::from_fn(|at| hash.as_bytes()[at]), line: self.count };
        self.pipeline.send(op, request, bytes).await?;
        let answer = self.pipeline.next().await?;
        answer.map(|(_, response)| response).ok_or_else(unexpected)
    }

    /// In commits that change no memory twice.
    async fn send_all(&mut self, branch: &Name, rows: Vec<Row>) -> Result<()> {
        let (mut batch, mut ids, mut bytes) = (Vec::new(), HashSet::new(), 0);
        for mut row in rows {
            let is_full = batch.len() >= ROWS_MAX || bytes > BYTES_MAX || !ids.insert(row.id);
            if is_full {
                self.send(branch, std::mem::take(&mut batch), bytes).await?;
                (ids, bytes) = (HashSet::from([row.id]), 0);
            }
            self.rows += 1;
            row.line = self.rows as u32;
            bytes += row.text.len() + row.metadata.len() + 200;
            batch.push(row);
        }
        if batch.is_empty() { Ok(()) } else { self.send(branch, batch, bytes).await }
    }

    async fn send(&mut self, branch: &Name, rows: Vec<Row>, bytes: usize) -> Result<()> {
        let import = Import {
            branch: Some(branch.clone()),
            agent: self.template.agent.clone(),
            place: self.template.place.clone(),
            file: self.template.file.clone(),
            rows,
            tiers: self.template.tiers,
        };
        match self.ask(Request::Import(import), bytes).await? {
            Response::Imported(imported) => self.tally.add(imported, &mut self.refused),
            _ => return Err(unexpected()),
        }
        self.bar.show(self.rows, Some(self.rows as f64 / self.all.max(1) as f64));
        Ok(())
    }

    async fn branch(&mut self, name: &str, from: &Name, rows: Vec<Row>) -> Result<()> {
        let name: Name = name.parse()?;
        let note = Some("from Memoria v0.4".to_owned());
        let create = Branch::Create { name: name.clone(), from: Some(from.to_string()), note };
        self.ask(Request::Branch(create), 200).await?;
        self.send_all(&name, rows).await
    }

    /// A snapshot is what a branch of the moment held.
    async fn snapshot(&mut self, name: &str, from: &Name, rows: Vec<Row>) -> Result<()> {
        let (name, branch): (Name, Name) = (name.parse()?, format!("v04-{name}").parse()?);
        self.branch(branch.as_str(), from, rows).await?;
        let at = View { branch: Some(branch.clone()), at: None };
        let note = Some("from Memoria v0.4".to_owned());
        let made = self.ask(Request::Snapshot(Snapshot::Create { name, at, note }), 200).await;
        self.ask(Request::Branch(Branch::Delete { name: branch }), 200).await?;
        made.map(drop)
    }

    async fn end(mut self, into: &Name, made: (u32, u32), problems: &[String], out: &Out) -> Result<Exit> {
        self.bar.clear();
        let Self { tally, refused, .. } = &self;
        out.answer(
            || {
                let mut all = as_json(tally, refused, &BTreeMap::new(), into);
                all["changed"] = json!(tally.changed);
                all["branches"] = json!(made.0);
                all["snapshots"] = json!(made.1);
                all["problems"] = json!(problems);
                all
            },
            |style| as_text(tally, refused, into, made, problems, style),
        )?;
        Ok(if refused.total == 0 && problems.is_empty() { Exit::Ok } else { Exit::Partly })
    }
}

fn as_text(
    tally: &Tally,
    refused: &Refused,
    into: &Name,
    (branches, snapshots): (u32, u32),
    problems: &[String],
    style: &Style,
) -> String {
    let mut out = format!(
        "Imported {} into {into} with {} of their history, {} and {}.\n",
        plural(tally.stored, "memory", "memories"),
        plural(tally.changed, "change", "changes"),
        plural(branches, "branch", "branches"),
        plural(snapshots, "snapshot", "snapshots"),
    );
    out += &cautions(tally, style);
    out += "Access counts are in each memory's metadata, under `v04`.\n";
    if tally.existing + tally.earlier > 0 {
        out += &format!("{} were known already.\n", plural(tally.existing + tally.earlier, "memory", "memories"));
    }
    let said = problems.iter().cloned();
    let reasons = refused.reasons.iter().map(|(_, reason)| reason.clone());
    for problem in said.chain(reasons).take(REASONS_SHOWN) {
        out += &style.block(&format!("Not taken: {}", one_line(&problem)), 2);
    }
    let rest = (problems.len() as u64 + refused.total).saturating_sub(REASONS_SHOWN as u64);
    if rest > 0 {
        out += &format!("  and {rest} more: `--json` lists them.\n");
    }
    out
}
