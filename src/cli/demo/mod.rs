//! `memoria demo`: the main job, seen. The real daemon in a temporary folder, real shims, JSON-RPC as agents speak it,
//! a real `kill -9`; then a branch, a diff, a merge and a rollback, by the commands that people type. It checks every
//! answer that it shows, and fails when one is not as it should be.

mod agent;
mod stage;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clock;
use crate::error::{Error, Result};

use super::exit::Exit;
use super::process::{interrupted, kill};
use super::terminal::{Out, Paint, Style, cut, width};
use agent::Agent;
use stage::Stage;

/// `(kind, tags, text)`.
type Fact = (&'static str, &'static [&'static str], &'static str);

const CLAUDE_LEARNED: [Fact; 3] = [
    ("procedural", &["deploy"], "Production deploys run from a GitHub Actions workflow."),
    ("semantic", &["auth"], "AuthMiddleware checks JWTs; session cookies are gone."),
    ("procedural", &["test"], "Integration tests need Postgres 16: run `make db` first."),
];
const CURSOR_LEARNED: [Fact; 3] = [
    ("profile", &[], "The user prefers small commits, imperative messages."),
    ("semantic", &["payments"], "Payments keep money as integer cents, never as floats."),
    ("semantic", &["flags"], "Feature flags live in config/flags.toml, reloaded live."),
];
const CORRECTED: &str = "Production deploys run from the Buildkite pipeline.";
/// On a branch: what is tried there, and what the correction says there.
const TRIED: &str = "Sessions are cached in Redis for ten minutes.";
const CORRECTED_THERE: &str = "Production deploys run from Buildkite, canary first.";
const SWALLOWED: [Fact; 2] = [
    ("semantic", &["test"], "Tests may be skipped before a release."),
    ("procedural", &["deploy"], "Database passwords are kept in the public wiki."),
];
const HOW_TO_DEPLOY: &str = "how do we deploy to production?";

const NEXT: &str = "\
What to type next:
  claude mcp add memoria -- memoria mcp    give it to Claude Code
  memoria store \"We deploy with Buildkite\"
  memoria retrieve \"how do we deploy?\"
  memoria branch idea                      try things; then diff and merge
  memoria log --graph                      who taught it what, and where
";

pub fn run(out: &Out) -> Result<Exit> {
    let stage = Stage::new()?;
    let told = super::ask::block_on(until_told(stage.clone(), Out::new(out.json)));
    stage.clear()?;
    let seconds = told?;
    out.answer(
        || json!({"ok": true, "seconds": seconds}),
        |style| format!("\n{}\n\n{NEXT}", style.bold(&format!("Done in {seconds:.1} s; the folder is removed."))),
    )?;
    Ok(Exit::Ok)
}

/// The story, or its interruption: either way the caller clears the stage.
async fn until_told(stage: Stage, out: Out) -> Result<f64> {
    let (sender, told) = tokio::sync::oneshot::channel();
    let scene = stage.clone();
    let mut told = std::pin::pin!(async move {
        std::thread::spawn(move || {
            // After an interruption nobody may listen any more.
            let _ = sender.send(Story { stage: scene, out, step: 0 }.tell());
        });
        told.await
    });
    tokio::select! {
        // Heard before the first word is said.
        biased;
        () = interrupted() => {
            stage.close();
            // The thread fails at its next step; what it started must not outlive the folder.
            let _ = tokio::time::timeout(Duration::from_secs(5), told).await;
            Err(Error::cancelled("interrupted; the daemon is stopped and the folder removed"))
        }
        told = &mut told => told.unwrap_or_else(|_| Err(Error::internal("the demo's own thread died"))),
    }
}

struct Story {
    stage: Stage,
    out: Out,
    step: u32,
}

impl Story {
    fn tell(mut self) -> Result<f64> {
        let begun = Instant::now();
        self.say(&format!(
            "{}\n",
            self.out.style.bold("Memoria: the real daemon, two real agents, a temporary folder.")
        ))?;
        let (mut claude, mut cursor) = self.agents_arrive()?;
        self.both_store(&mut claude, &mut cursor)?;
        let id = self.cursor_asks(&mut cursor)?;
        self.claude_asks(&mut claude)?;
        self.cursor_corrects(&mut cursor, &id)?;
        self.daemon_dies()?;
        self.both_ask_again(&mut claude, &mut cursor, &id)?;
        self.a_branch_is_tried_and_merged(&id)?;
        self.false_facts_are_taken_back(&mut cursor)?;
        self.all_is_well()?;
        Ok(begun.elapsed().as_secs_f64())
    }

    fn agents_arrive(&mut self) -> Result<(Agent, Agent)> {
        let begun = Instant::now();
        let claude = Agent::start(&self.stage, "claude-code", "2.0")?;
        self.step("claude-code starts `memoria mcp`, which starts the daemon", Some(begun))?;
        self.stage.note_daemon()?;
        let begun = Instant::now();
        let cursor = Agent::start(&self.stage, "cursor", "1.7")?;
        self.step("cursor starts its own `memoria mcp`; the daemon is there", Some(begun))?;
        Ok((claude, cursor))
    }

    fn both_store(&mut self, claude: &mut Agent, cursor: &mut Agent) -> Result<()> {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| store_all(cursor, &CURSOR_LEARNED));
            store_all(claude, &CLAUDE_LEARNED)?;
            other.join().unwrap_or_else(|_| Err(Error::internal("a storing thread died")))
        })?;
        self.step("Both store what they learned, at the same time; each is on disk", Some(begun))?;
        for (name, facts) in [(claude.name, &CLAUDE_LEARNED), (cursor.name, &CURSOR_LEARNED)] {
            for (_, _, text) in facts {
                self.quote(name, text)?;
            }
        }
        Ok(())
    }

    /// What one agent stored answers the other's question; the id of that memory.
    fn cursor_asks(&mut self, cursor: &mut Agent) -> Result<String> {
        let (hit, begun) = ask(cursor, HOW_TO_DEPLOY)?;
        expect(&hit, CLAUDE_LEARNED[0].2)?;
        if hit["origin"]["agent"] != "claude-code" {
            return Err(Error::internal(format!("the answer's origin is {}, not claude-code", hit["origin"])));
        }
        self.step(&format!("cursor asks: {HOW_TO_DEPLOY}"), Some(begun))?;
        self.quote("claude-code said", text_of(&hit))?;
        Ok(hit["id"].as_str().unwrap_or_default().to_owned())
    }

    fn claude_asks(&mut self, claude: &mut Agent) -> Result<()> {
        let question = "what does auth_middleware verify?";
        let (hit, begun) = ask(claude, question)?;
        expect(&hit, CLAUDE_LEARNED[1].2)?;
        self.step(&format!("claude-code asks: {question}"), Some(begun))?;
        self.quote("it said itself", text_of(&hit))
    }

    fn cursor_corrects(&mut self, cursor: &mut Agent, id: &str) -> Result<()> {
        let begun = Instant::now();
        let reason = "moved to Buildkite";
        cursor.call("memory_correct", json!({"memory_id": id, "new_content": CORRECTED, "reason": reason}))?;
        self.step(&format!("cursor corrects memory {}; it keeps its id and its history", &id[..8]), Some(begun))?;
        let shown = self.stage.answer(&["show", id])?;
        let history = shown["history"].as_array().cloned().unwrap_or_default();
        let texts: Vec<_> = history.iter().map(text_of).collect();
        if texts != [CORRECTED, CLAUDE_LEARNED[0].2] {
            return Err(Error::internal(format!("the history should hold two texts and holds {texts:?}")));
        }
        for past in history.iter().rev() {
            let commit = &past["commit"];
            let who = commit["author"]["agent"].as_str().unwrap_or_default();
            let line = format!("{who} {}", commit["verb"].as_str().unwrap_or_default());
            self.quote(&line, text_of(past))?;
        }
        Ok(())
    }

    fn daemon_dies(&mut self) -> Result<()> {
        let pid = self.stage.daemon();
        kill(pid)?;
        self.step(&format!("kill -9 {pid}: the daemon is gone; its agents are not told"), None)
    }

    fn both_ask_again(&mut self, claude: &mut Agent, cursor: &mut Agent, id: &str) -> Result<()> {
        let (hit, begun) = ask(claude, HOW_TO_DEPLOY)?;
        expect(&hit, CORRECTED)?;
        if hit["id"] != id {
            return Err(Error::internal(format!("memory {id} came back as {}", hit["id"])));
        }
        let before = self.stage.daemon();
        self.step(&format!("claude-code asks again: {HOW_TO_DEPLOY}"), Some(begun))?;
        self.quote("same shim", text_of(&hit))?;
        let question = "which database do the integration tests need?";
        let (hit, begun) = ask(cursor, question)?;
        expect(&hit, CLAUDE_LEARNED[2].2)?;
        self.step(&format!("cursor asks: {question}"), Some(begun))?;
        self.quote("same shim", text_of(&hit))?;
        let pid = self.stage.note_daemon()?;
        if pid == before {
            return Err(Error::internal("the daemon did not die"));
        }
        Ok(())
    }

    fn a_branch_is_tried_and_merged(&mut self, id: &str) -> Result<()> {
        let begun = Instant::now();
        self.stage.answer(&["branch", "caching"])?;
        self.step("You type `memoria branch caching`, to try things there", Some(begun))?;
        self.stage.answer(&["store", TRIED, "--branch", "caching"])?;
        self.stage.answer(&["correct", id, CORRECTED_THERE, "--branch", "caching"])?;
        let begun = Instant::now();
        let diff = self.stage.answer(&["diff", "main", "caching"])?;
        expect_counts(&diff, "diff", [1, 1, 0])?;
        self.step("`memoria diff main caching`: 1 added, 1 changed; main is as it was", Some(begun))?;
        for change in diff["changes"].as_array().into_iter().flatten() {
            self.quote(change["change"].as_str().unwrap_or_default(), text_of(&change["after"]))?;
        }
        let begun = Instant::now();
        expect_counts(&self.stage.answer(&["merge", "caching"])?, "merge", [1, 1, 0])?;
        let main = self.stage.answer(&["show", id])?;
        expect(&main, CORRECTED_THERE)?;
        self.step("`memoria merge caching`: main has both", Some(begun))
    }

    fn false_facts_are_taken_back(&mut self, cursor: &mut Agent) -> Result<()> {
        let before = clock::rfc3339(clock::now());
        store_all(cursor, &SWALLOWED)?;
        self.step("cursor swallows two false facts from a web page", None)?;
        for (_, _, text) in &SWALLOWED {
            self.quote("cursor", text)?;
        }
        let begun = Instant::now();
        let gone = self.stage.answer(&["rollback", "--agent", "cursor", "--since", &before])?;
        expect_counts(&gone, "rollback", [0, 0, 2])?;
        self.step("`memoria rollback --agent cursor --since ...`: those two are gone", Some(begun))?;
        let listed = self.stage.answer(&["list", "--limit", "0"])?;
        let left: Vec<_> = listed["memories"].as_array().into_iter().flatten().map(text_of).collect();
        if SWALLOWED.iter().any(|(_, _, text)| left.contains(text)) || !left.contains(&CURSOR_LEARNED[1].2) {
            return Err(Error::internal(format!("only the false facts should be gone, and there is {left:?}")));
        }
        self.quote("what cursor knew", "stays, and so does everybody else's work")
    }

    fn all_is_well(&mut self) -> Result<()> {
        let begun = Instant::now();
        let status = self.stage.answer(&["status"])?;
        let verified = self.stage.answer(&["verify"])?;
        if status["memories"] != 7 || verified["ok"] != true {
            return Err(Error::internal(format!("7 memories should be there and in order: {status} {verified}")));
        }
        let checks = verified["checks"].as_array().map_or(0, Vec::len);
        let rss = super::terminal::bytes(status["rss_bytes"].as_u64().unwrap_or_default());
        let pid = self.stage.daemon();
        self.step(&format!("The new daemon ({pid}, {rss}) has all 7; {checks} checks hold"), Some(begun))
    }

    fn say(&self, text: &str) -> Result<()> {
        if self.out.json { Ok(()) } else { self.out.print(text) }
    }

    /// A numbered line, with how long that took at the right.
    fn step(&mut self, text: &str, begun: Option<Instant>) -> Result<()> {
        self.step += 1;
        let took = begun.map_or(String::new(), |begun| format!("{:.1} ms", begun.elapsed().as_secs_f64() * 1e3));
        let text = cut(text, 66);
        let pad = 66_usize.saturating_sub(width(&text));
        let style: &Style = &self.out.style;
        let number = style.paint(Paint::Cyan, &format!("{:2}", self.step));
        let end = if took.is_empty() { took } else { format!("{:pad$}{}", "", style.dim(&format!("{took:>10}"))) };
        self.say(&format!("{number}  {text}{end}\n"))
    }

    fn quote(&self, who: &str, text: &str) -> Result<()> {
        let style: &Style = &self.out.style;
        let who = format!("{who:<20}");
        self.say(&format!("    {}{}\n", style.dim(&who), style.paint(Paint::Green, &cut(text, 80 - 4 - who.len()))))
    }
}

fn store_all(agent: &mut Agent, facts: &[Fact]) -> Result<()> {
    for (kind, tags, text) in facts {
        agent.call("memory_store", json!({"content": text, "memory_type": kind, "tags": tags}))?;
    }
    Ok(())
}

/// The best hit, and when the question was asked.
fn ask(agent: &mut Agent, question: &str) -> Result<(Value, Instant)> {
    let begun = Instant::now();
    let mut found = agent.call("memory_retrieve", json!({"query": question, "top_k": 1}))?;
    Ok((found["memories"][0].take(), begun))
}

fn expect(hit: &Value, text: &str) -> Result<()> {
    if text_of(hit) == text {
        return Ok(());
    }
    Err(Error::internal(format!("the answer should be \"{text}\" and is {}", hit["text"])))
}

/// Added, changed, removed.
fn expect_counts(answer: &Value, what: &str, counts: [u64; 3]) -> Result<()> {
    let names = ["added", "changed", "removed"];
    if names.iter().zip(counts).all(|(name, count)| answer["counts"][name] == count) {
        return Ok(());
    }
    Err(Error::internal(format!("the {what} should count {counts:?}, and says {}", answer["counts"])))
}

fn text_of(value: &Value) -> &str {
    value["text"].as_str().unwrap_or_default()
}
