//! `memoria status`: how the daemon is, or that there is none and how to start it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::clock::{ago, local, now, of_day, rfc3339};
use crate::error::Result;
use crate::model::{Time, Waiting};
use crate::paths::Paths;
use crate::wire::message::{ClientKind, EmbeddingStatus, SessionStatus, Status};

use super::exit::Exit;
use super::process::{Holder, holder};
use super::start;
use super::terminal::{Out, Paint, Style, bytes, count, duration, one_line, plural};
use super::text::with_version;

/// How long `status` waits for a daemon that is neither there nor gone.
const SETTLED_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub async fn run(out: &Out) -> Result<Exit> {
    let paths = Paths::from_env()?;
    let (client, error) = match connect(&paths).await {
        Ok(client) => (client, None),
        // A lock without an answer is worth saying in full, with the paths; anything else is a plain error.
        Err(error) => match holder(&paths) {
            Ok(Some(_)) => (None, Some(error.message)),
            _ => return Err(error),
        },
    };
    if let Some(mut client) = client {
        let status = start::status(&mut client).await?;
        out.answer(|| as_json(&status, now()), |style| as_text(&status, style, now()))?;
        return Ok(Exit::Ok);
    }
    let holder = holder(&paths)?;
    out.answer(|| absent_json(&paths, holder, error.as_deref()), |style| absent_text(&paths, holder, style))?;
    Ok(Exit::Unavailable)
}

/// A daemon that holds the lock and does not listen is coming or going: that is over in a moment.
async fn connect(paths: &Paths) -> Result<Option<Client>> {
    let deadline = Instant::now() + SETTLED_WITHIN;
    loop {
        let client = Client::connect(paths, ClientKind::Cli).await?;
        if client.is_some() || Instant::now() >= deadline || holder(paths)?.is_none() {
            return Ok(client);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn as_json(status: &Status, now: Time) -> Value {
    let store = &status.store;
    let by_kind: serde_json::Map<_, _> =
        store.by_kind.iter().map(|(kind, n)| (kind.as_str().to_owned(), json!(n))).collect();
    let session = |s: &SessionStatus| {
        json!({
            "session": s.session.as_str(),
            "client": client_name(s.client),
            "agent": s.agent,
            "agent_version": s.agent_version,
            "project": s.project.as_ref().map(|p| p.as_str()),
            "pid": s.pid,
            "requests": s.requests,
            "opened_at": rfc3339(s.opened_at),
            "last_seen": rfc3339(s.last_seen),
        })
    };
    let paths: serde_json::Map<_, _> = status.paths.iter().map(|(what, path)| (what.clone(), json!(path))).collect();
    json!({
        "running": true,
        "version": status.version,
        "pid": status.pid,
        "started_at": rfc3339(status.started_at),
        "uptime_s": now.since(status.started_at).max(0) / 1000,
        "rss_bytes": status.rss_bytes,
        "pss_bytes": status.pss_bytes,
        "engine": status.engine,
        "server": status.server,
        "memories": store.memories,
        "by_kind": by_kind,
        "branches": store.branches,
        "commits": store.commits,
        "versions": store.versions,
        "store_bytes": store.truth_bytes + store.derived_bytes,
        "truth_bytes": store.truth_bytes,
        "derived_bytes": store.derived_bytes,
        "store_error": store.error,
        "head": store.head.map(|head| head.to_string()),
        "unflushed": store.unflushed,
        "waiting": store.waiting.as_ref().map(waiting_json),
        "embedding": embedding_json(&status.embedding),
        "sessions": status.sessions.iter().map(session).collect::<Vec<_>>(),
        "last_error": status.last_error.as_ref().map(|(at, text)| json!({"at": rfc3339(*at), "message": text})),
        "config_error": status.config_error,
        "idle_exit_min": status.idle_exit_min,
        "paths": paths,
    })
}

fn waiting_json(waiting: &Waiting) -> Value {
    json!({
        "count": waiting.count,
        "since": waiting.since.map(rfc3339),
        "retry_at": waiting.retry_at.map(rfc3339),
        "problem": waiting.problem,
        "damaged": waiting.damaged,
        "refused": waiting.refused,
        "refused_why": waiting.refused_why,
        "refused_file": waiting.refused_file,
    })
}

/// What waits on this machine for the server, if anything does; and what needs somebody to look at it.
pub(super) fn waiting(waiting: &Waiting) -> (Option<String>, Vec<String>) {
    let waits = waiting.since.map(|since| {
        let retry = waiting.retry_at.map_or_else(String::new, |at| format!(", tried again at {}", of_day(at)));
        format!("{} for the server since {}{retry}", plural(waiting.count, "memory", "memories"), local(since))
    });
    let refused = (waiting.refused > 0).then(|| {
        format!(
            "the server refused {} that waited (the last one: {}). `memoria export --refused FILE` writes them for \
             `memoria import`; then delete {}",
            plural(waiting.refused, "memory", "memories"),
            one_line(waiting.refused_why.as_deref().unwrap_or("no reason is known")),
            one_line(&waiting.refused_file)
        )
    });
    let damaged = waiting.damaged.as_ref().map(|file| {
        format!("some of what waited was damaged on disk; the file as it was is {}: delete it", one_line(file))
    });
    (waits, refused.into_iter().chain(damaged).collect())
}

pub(super) fn embedding_json(embedding: &EmbeddingStatus) -> Value {
    let asked = embedding.cache_hits + embedding.cache_misses;
    json!({
        "serving": embedding.serving,
        "wanted": embedding.wanted,
        "vectors": embedding.vectors,
        "pending": embedding.pending,
        "problem": embedding.problem,
        "cache": {
            "entries": embedding.cache_entries,
            "bytes": embedding.cache_bytes,
            "hits": embedding.cache_hits,
            "misses": embedding.cache_misses,
            "hit_rate": (asked > 0).then(|| embedding.cache_hits as f64 / asked as f64),
        },
    })
}

/// Which model answers, and how far the one is that is to answer.
pub(super) fn meaning(embedding: &EmbeddingStatus) -> String {
    let vectors = plural(embedding.vectors, "vector", "vectors");
    let pending = match embedding.pending {
        0 => String::new(),
        pending => format!(", {} pending", count(pending)),
    };
    match embedding.serving.as_deref() {
        None => "none: words alone find".to_owned(),
        Some(serving) if serving == embedding.wanted => format!("{}, {vectors}{pending}", one_line(serving)),
        Some(serving) if embedding.problem.is_some() => format!("{} stands in, {vectors}{pending}", one_line(serving)),
        Some(serving) => {
            format!("{} serves while {} is filled: {vectors}{pending}", one_line(serving), one_line(&embedding.wanted))
        }
    }
}

fn client_name(client: ClientKind) -> &'static str {
    match client {
        ClientKind::Shim => "mcp",
        ClientKind::Cli => "cli",
    }
}

/// A name and what it is, wrapped under its start.
fn row(style: &Style, name: &str, paint: Paint, value: &str) -> String {
    let mut out = format!("  {}", style.dim(&format!("{name:<11}")));
    for (i, line) in style.block(value, 13).lines().enumerate() {
        let indent = if i == 0 { "" } else { "             " };
        out += &format!("{indent}{}\n", style.paint(paint, line.trim_start()));
    }
    out
}

fn as_text(status: &Status, style: &Style, now: Time) -> String {
    let store = &status.store;
    let mut out = format!(
        "{} {}  {}, pid {}, up {}\n\n",
        style.bold("memoriad"),
        status.version,
        style.paint(Paint::Green, "running"),
        status.pid,
        duration(now.since(status.started_at)),
    );
    if status.rss_bytes > 0 {
        let own = if status.pss_bytes > 0 { format!(" ({} PSS)", bytes(status.pss_bytes)) } else { String::new() };
        out += &row(style, "memory", Paint::Plain, &format!("{} RSS{own}", bytes(status.rss_bytes)));
    }
    match &store.error {
        Some(error) => out += &row(style, "store", Paint::Red, &format!("{}: {error}", store_of(status))),
        None => {
            let mut about = store_of(status);
            if store.truth_bytes > 0 {
                about += &format!(", {}", bytes(store.truth_bytes));
            }
            if store.derived_bytes > 0 {
                about += &format!(" + {} search index", bytes(store.derived_bytes));
            }
            out += &row(style, "store", Paint::Plain, &about);
            out += &row(style, "memories", Paint::Plain, &memories(status));
            let commits = plural(store.commits, "commit", "commits");
            let on = plural(store.branches, "branch", "branches");
            out += &row(
                style,
                "history",
                Paint::Plain,
                &format!("{commits}, {}, {on}", plural(store.versions, "version", "versions")),
            );
        }
    }
    if let Some(waiting_here) = &store.waiting {
        let (waits, problems) = waiting(waiting_here);
        out += &waits.map_or_else(String::new, |waits| row(style, "waiting", Paint::Yellow, &waits));
        for problem in problems {
            out += &row(style, "", Paint::Red, &sentence(&problem));
        }
    }
    out += &row(style, "meaning", Paint::Plain, &meaning(&status.embedding));
    if let Some(problem) = &status.embedding.problem {
        out += &row(style, "", Paint::Yellow, &sentence(&one_line(problem)));
    }
    let asked = status.embedding.cache_hits + status.embedding.cache_misses;
    if let Some(share) = (status.embedding.cache_hits * 100).checked_div(asked) {
        let entries = plural(status.embedding.cache_entries, "vector", "vectors");
        out += &row(style, "cache", Paint::Plain, &format!("{entries}, {share} % of {} hit", count(asked)));
    }
    if status.idle_exit_min > 0 {
        out += &row(style, "idle exit", Paint::Plain, &format!("after {} min without agents", status.idle_exit_min));
    }
    out += &match &status.last_error {
        None => row(style, "last error", Paint::Plain, "none"),
        Some((at, text)) => row(style, "last error", Paint::Yellow, &format!("{}: {}", ago(*at, now), one_line(text))),
    };
    if let Some(error) = &status.config_error {
        let text = format!("{} The values before it stay in force.", sentence(&one_line(error)));
        out += &row(style, "config", Paint::Red, &text);
    }
    out += &sessions(&status.sessions, style, now);
    out += &format!("\n{}\n", style.bold("Paths"));
    for (what, path) in &status.paths {
        out += &format!("  {}{}\n", style.dim(&format!("{what:<11}")), one_line(path));
    }
    out
}

/// `embedded`, or `matrixone at db.example.org:6001/memoria`.
fn store_of(status: &Status) -> String {
    match &status.server {
        Some(server) => format!("{} at {}", status.engine, one_line(server)),
        None => status.engine.clone(),
    }
}

fn sentence(text: &str) -> String {
    if text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
}

fn memories(status: &Status) -> String {
    let kinds: Vec<String> =
        status.store.by_kind.iter().filter(|(_, n)| *n > 0).map(|(kind, n)| format!("{} {kind}", count(*n))).collect();
    let total = count(status.store.memories);
    if kinds.is_empty() { total } else { format!("{total}: {}", kinds.join(", ")) }
}

fn sessions(list: &[SessionStatus], style: &Style, now: Time) -> String {
    let agents: Vec<_> = list.iter().filter(|s| s.client == ClientKind::Shim).collect();
    if agents.is_empty() {
        return format!("\n{}  none; `memoria mcp` is what an agent starts\n", style.bold("Agents"));
    }
    let rows: Vec<_> = agents
        .iter()
        .map(|s| {
            let agent =
                s.agent.as_deref().map_or("(not said yet)".to_owned(), |a| with_version(a, s.agent_version.as_deref()));
            let project = s.project.as_ref().map_or("-", |p| p.as_str());
            vec![format!("  {agent}"), count(s.requests), ago(s.last_seen, now), s.pid.to_string(), project.to_owned()]
        })
        .collect();
    let columns = [
        ("  AGENT", Paint::Plain),
        ("REQUESTS", Paint::Plain),
        ("LAST SEEN", Paint::Plain),
        ("PID", Paint::Plain),
        ("PROJECT", Paint::Plain),
    ];
    format!("\n{}\n{}", style.bold(&format!("Agents ({})", agents.len())), style.table(&columns, &rows))
}

fn places(paths: &Paths) -> [(&'static str, String); 4] {
    [
        ("config", paths.config_file().display().to_string()),
        ("data", paths.data_dir.display().to_string()),
        ("logs", paths.log_dir().display().to_string()),
        ("socket", paths.socket_path().display().to_string()),
    ]
}

fn absent_json(paths: &Paths, holder: Option<Holder>, error: Option<&str>) -> Value {
    let places: serde_json::Map<_, _> =
        places(paths).into_iter().map(|(what, path)| (what.to_owned(), json!(path))).collect();
    json!({
        "running": false,
        "version": env!("CARGO_PKG_VERSION"),
        "pid": holder.and_then(Holder::pid),
        "locked": holder.is_some(),
        "connect_error": error,
        "sessions": [],
        "paths": places,
    })
}

fn absent_text(paths: &Paths, holder: Option<Holder>, style: &Style) -> String {
    let mut out = match holder {
        None => format!(
            "{}  {}\n\nAgents and commands start it when they need it; `memoria start` does so now.\n",
            style.bold("memoriad"),
            style.paint(Paint::Yellow, "not running")
        ),
        Some(holder) => format!(
            "{}  {}: {} holds the store.\n\nIt may be starting or ending; if this stays, run `memoria restart --force`.\n",
            style.bold("memoriad"),
            style.paint(Paint::Red, "does not answer"),
            holder.pid_text()
        ),
    };
    let store = paths.store_file();
    let size = std::fs::metadata(&store).map(|meta| bytes(meta.len()));
    out += &size.map_or("No memories are stored yet.\n".to_owned(), |size| format!("The store holds {size}.\n"));
    out += &format!("\n{}\n", style.bold("Paths"));
    for (what, path) in places(paths) {
        out += &format!("  {}{}\n", style.dim(&format!("{what:<11}")), one_line(&path));
    }
    out + &style.dim("\n`memoria logs` shows what it wrote last.\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::width;
    use crate::model::{Kind, ProjectId, SessionId, StoreStatus};

    const NOW: Time = Time(1_795_435_506_123);

    fn status() -> Status {
        let session = |client, agent: Option<&str>, project: &str| SessionStatus {
            session: SessionId::new("s").unwrap(),
            client,
            agent: agent.map(str::to_owned),
            agent_version: agent.map(|_| "2.0.14".to_owned()),
            project: ProjectId::new(project).ok(),
            branch: None,
            pid: 4711,
            requests: 12345,
            opened_at: NOW,
            last_seen: NOW.plus_ms(-180_000),
        };
        Status {
            version: "0.1.0".to_owned(),
            pid: 815,
            started_at: NOW.plus_ms(-11_100_000),
            rss_bytes: 7_240_000,
            pss_bytes: 5_100_000,
            engine: "embedded".to_owned(),
            server: None,
            store: StoreStatus {
                memories: 1024,
                by_kind: Kind::ALL.iter().map(|kind| (*kind, 170)).collect(),
                branches: 1,
                commits: 2048,
                versions: 1500,
                truth_bytes: 1_900_000,
                derived_bytes: 300_000,
                ..StoreStatus::default()
            },
            sessions: vec![
                session(ClientKind::Shim, Some("claude-code"), "github.com/an-organisation/a-project-with-a-long-name"),
                session(ClientKind::Shim, Some("a\u{1b}[31mred"), "/home/somebody/elsewhere"),
                session(ClientKind::Cli, None, "/home/somebody/elsewhere"),
            ],
            last_error: Some((NOW.plus_ms(-7_200_000), "the disk is full: ".repeat(8))),
            config_error: Some(
                "config.toml: there is no setting `search.topk`: did you mean `search.top_k`?".to_owned(),
            ),
            idle_exit_min: 30,
            paths: vec![("data".to_owned(), "/home/somebody/.local/share/memoria".to_owned())],
            embedding: EmbeddingStatus {
                serving: Some("builtin".to_owned()),
                wanted: "a-model-of-somebody\u{1b}[31m".to_owned(),
                vectors: 512,
                pending: 512,
                cache_hits: 2,
                cache_misses: 1,
                problem: Some("the endpoint does not answer: ".repeat(6)),
                ..EmbeddingStatus::default()
            },
        }
    }

    #[test]
    fn status_says_everything_within_80_columns() {
        let text = as_text(&status(), &Style::plain(Some(80)), NOW);
        for part in [
            "running, pid 815, up 3 h 5 min",
            "7.2 MB RSS (5.1 MB PSS)",
            "1,024: 170 semantic",
            "2,048 commits",
            "1.9 MB + 300 kB search index",
            "claude-code 2.0.14",
            "12,345",
            "3 min ago",
            "2 h ago: the disk is full",
            "did you mean",
            "Agents (2)",
            "after 30 min",
        ] {
            assert!(text.contains(part), "`{part}` is missing:\n{text}");
        }
        let wide: Vec<_> = text.lines().filter(|line| width(line) > 80).collect();
        assert!(wide.is_empty() && !text.contains('\u{1b}'), "{wide:?}");
    }

    #[test]
    fn a_store_that_cannot_be_opened_is_said_in_place_of_its_numbers() {
        let mut status = status();
        status.store = StoreStatus { error: Some("the file is damaged".to_owned()), ..StoreStatus::default() };
        let text = as_text(&status, &Style::plain(None), NOW);
        assert!(text.contains("embedded: the file is damaged") && !text.contains("commits"), "{text}");
        assert_eq!(as_json(&status, NOW)["store_error"], "the file is damaged");
    }

    #[test]
    fn a_store_on_a_server_is_named_by_its_place_whether_it_answers_or_not() {
        let mut status = Status { engine: "matrixone".into(), server: Some("db:6001/memoria".into()), ..status() };
        assert!(as_text(&status, &Style::plain(None), NOW).contains("matrixone at db:6001/memoria, 1.9 MB"));
        status.store = StoreStatus { error: Some("it does not answer".to_owned()), ..StoreStatus::default() };
        assert!(
            as_text(&status, &Style::plain(None), NOW).contains("matrixone at db:6001/memoria: it does not answer")
        );
        assert_eq!(as_json(&status, NOW)["server"], "db:6001/memoria");
    }

    #[test]
    fn status_as_json_has_the_fields_that_scripts_rely_on() {
        let json = as_json(&status(), NOW);
        for field in ["version", "pid", "uptime_s", "engine", "memories", "branches", "sessions", "rss_bytes", "paths"]
        {
            assert!(!json[field].is_null(), "{field}");
        }
        assert_eq!((&json["uptime_s"], &json["by_kind"]["semantic"]), (&json!(11_100), &json!(170)));
        assert_eq!(json["sessions"][0]["agent"], "claude-code");
    }
}
