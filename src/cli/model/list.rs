//! `memoria model list`: what serves, what is installed, what can be. Works without a daemon as well, and starts none.

use serde_json::{Value, json};

use crate::client::Client;
use crate::embed::install::{self, Installed, registry};
use crate::error::Result;
use crate::paths::Paths;
use crate::wire::message::{ClientKind, EmbeddingStatus, Model, ModelStatus, Models};

use super::super::exit::Exit;
use super::super::status::embedding_json;
use super::super::terminal::{Out, Paint, Style, bytes, count};

/// A row of the list.
#[derive(Debug, Default)]
struct Row {
    name: String,
    state: String,
    id: Option<String>,
    dims: u16,
    bytes: u64,
    vectors: u32,
    pending: u32,
    licence: Option<String>,
    about: String,
}

pub async fn run(out: &Out) -> Result<Exit> {
    let paths = Paths::from_env()?;
    let models = match Client::connect(&paths, ClientKind::Cli).await? {
        Some(mut client) => Some(super::ask(&mut client, Model::List).await?),
        None => None,
    };
    let folder = super::folder(&paths)?;
    let rows = rows(models.as_ref(), &install::installed(&folder)?);
    out.answer(
        || {
            json!({
                "models": rows.iter().map(as_json).collect::<Vec<_>>(),
                "folder": folder,
                "embedding": models.as_ref().map(|models| embedding_json(&models.embedding)),
            })
        },
        |style| as_text(&rows, models.as_ref(), style),
    )?;
    Ok(Exit::Ok)
}

/// What the daemon serves and knows, then what lies in the folder besides, then what can be installed.
fn rows(models: Option<&Models>, installed: &[Installed]) -> Vec<Row> {
    let mut rows: Vec<Row> = match models {
        Some(models) => models.models.iter().map(|model| served(model, &models.embedding)).collect(),
        None => vec![Row {
            name: "builtin".to_owned(),
            state: "ready".to_owned(),
            about: "the table inside the program".to_owned(),
            ..Row::default()
        }],
    };
    for local in installed {
        match rows.iter_mut().find(|row| row.name == local.name) {
            Some(row) => {
                row.bytes = local.bytes;
                row.licence = local.licence.clone();
            }
            None => rows.push(lying(local)),
        }
    }
    for entry in registry::ENTRIES {
        if !rows.iter().any(|row| row.name == entry.name) || !installed.iter().any(|local| local.name == entry.name) {
            rows.retain(|row| row.name != entry.name);
            rows.push(available(entry));
        }
    }
    rows
}

fn served(model: &ModelStatus, embedding: &EmbeddingStatus) -> Row {
    let state = if embedding.serving.as_ref() == Some(&model.name) {
        "serves".to_owned()
    } else if embedding.wanted == model.name && embedding.problem.is_none() {
        format!("filling {}%", percent(model.vectors, model.pending))
    } else if model.id.is_none() {
        "broken".to_owned()
    } else {
        "ready".to_owned()
    };
    Row {
        name: model.name.clone(),
        state,
        id: model.id.clone(),
        dims: model.dims,
        bytes: model.bytes,
        vectors: model.vectors,
        pending: model.pending,
        licence: None,
        about: model.about.clone(),
    }
}

/// Hundredths that are done, rounded down: 100 is all.
fn percent(vectors: u32, pending: u32) -> u64 {
    let all = u64::from(vectors) + u64::from(pending);
    (u64::from(vectors) * 100).checked_div(all).unwrap_or(100)
}

fn lying(local: &Installed) -> Row {
    let about = registry::find(&local.name).map_or("a folder of yours", |entry| entry.about);
    Row {
        name: local.name.clone(),
        state: if local.problem.is_some() { "broken" } else { "installed" }.to_owned(),
        dims: local.dims,
        bytes: local.bytes,
        licence: local.licence.clone(),
        about: local.problem.clone().unwrap_or_else(|| about.to_owned()),
        ..Row::default()
    }
}

fn available(entry: &registry::Entry) -> Row {
    let fetched = entry.fetched_bytes();
    let (state, about) = match fetched {
        Some(_) => ("available", entry.about.to_owned()),
        None => ("not here", format!("{}: not for this system", entry.about)),
    };
    Row {
        name: entry.name.to_owned(),
        state: state.to_owned(),
        dims: entry.dims,
        bytes: fetched.unwrap_or(0),
        licence: Some(entry.licence.to_owned()),
        about,
        ..Row::default()
    }
}

fn as_json(row: &Row) -> Value {
    json!({
        "name": row.name,
        "state": row.state,
        "id": row.id,
        "dims": row.dims,
        "bytes": row.bytes,
        "vectors": row.vectors,
        "pending": row.pending,
        "licence": row.licence,
        "about": row.about,
    })
}

fn as_text(rows: &[Row], models: Option<&Models>, style: &Style) -> String {
    let or_dash = |is_known: bool, text: String| if is_known { text } else { "-".to_owned() };
    let cells = |row: &Row| {
        vec![
            row.name.clone(),
            row.state.clone(),
            or_dash(row.dims > 0, row.dims.to_string()),
            or_dash(row.bytes > 0, bytes(row.bytes)),
            or_dash(row.vectors > 0, count(row.vectors)),
            row.licence.as_ref().map_or_else(|| row.about.clone(), |licence| format!("{} ({licence})", row.about)),
        ]
    };
    let columns = [
        ("NAME", Paint::Bold),
        ("STATE", Paint::Plain),
        ("DIMS", Paint::Plain),
        ("SIZE", Paint::Plain),
        ("VECTORS", Paint::Plain),
        ("ABOUT", Paint::Dim),
    ];
    let table = style.table(&columns, &rows.iter().map(cells).collect::<Vec<_>>());
    let footer = models.map_or_else(
        || "No daemon runs: `memoria start`, then this list says which one serves.\n".to_owned(),
        |models| super::outlook(&models.embedding),
    );
    format!("{table}\n{footer}{}", style.dim("`memoria model install NAME` fetches what is available.\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str, id: Option<&str>, vectors: u32, pending: u32) -> ModelStatus {
        let (id, about) = (id.map(str::to_owned), "how it works".to_owned());
        ModelStatus { name: name.to_owned(), id, dims: 384, bytes: 0, vectors, pending, about }
    }

    fn local(name: &str, problem: Option<&str>) -> Installed {
        Installed {
            name: name.to_owned(),
            folder: name.into(),
            bytes: 23_000_000,
            dims: 384,
            licence: Some("Apache-2.0".to_owned()),
            from: None,
            revision: None,
            problem: problem.map(str::to_owned),
        }
    }

    fn state<'a>(rows: &'a [Row], name: &str) -> &'a str {
        &rows.iter().find(|row| row.name == name).unwrap().state
    }

    #[test]
    fn a_list_says_what_serves_what_fills_and_what_there_is_to_have() {
        let embedding = EmbeddingStatus {
            serving: Some("builtin".to_owned()),
            wanted: "minilm".to_owned(),
            vectors: 1,
            pending: 3,
            ..EmbeddingStatus::default()
        };
        let models = vec![model("builtin", Some("builtin-1"), 4, 0), model("minilm", Some("minilm-1"), 1, 3)];
        let models = Models { models, embedding };
        let rows = rows(Some(&models), &[local("minilm", None), local("mine", None)]);
        assert_eq!((state(&rows, "builtin"), state(&rows, "minilm")), ("serves", "filling 25%"));
        assert_eq!((state(&rows, "mine"), state(&rows, "onnxruntime")), ("installed", "available"));
        assert_eq!(rows.iter().filter(|row| row.name == "minilm").count(), 1);
        let text = as_text(&rows, Some(&models), &Style::plain(Some(80)));
        assert!(text.contains("3 memories are embedded with minilm") && text.contains("builtin answers"), "{text}");
        let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{wide:?}");
    }

    #[test]
    fn what_is_damaged_is_called_broken_with_the_reason_also_without_a_daemon() {
        let rows = rows(None, &[local("minilm", Some("encoder.bin has 3 bytes"))]);
        assert_eq!((state(&rows, "minilm"), state(&rows, "builtin")), ("broken", "ready"));
        assert!(as_text(&rows, None, &Style::plain(None)).contains("encoder.bin has 3 bytes"));
    }
}
