//! `memoria model test`: a model at work on a few sentences: how fast, by which way, and whether it tells what means
//! the same from what does not.

use serde_json::json;

use crate::error::Result;
use crate::wire::message::{Model, Request, Response, Tested};

use super::super::ask::{client, unexpected};
use super::super::exit::Exit;
use super::super::terminal::{Out, Paint, Style};

/// Try a model: its speed, and whether it tells meanings apart
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  memoria model test\n  memoria model test builtin")]
pub struct Args {
    /// A name in `memoria model list`, or a folder
    #[arg(value_name = "NAME|FOLDER")]
    model: Option<String>,
}

pub async fn run(args: Args, out: &Out) -> Result<Exit> {
    let mut client = client().await?;
    let name = match args.model {
        Some(typed) => super::choose::meant(&typed, &crate::paths::Paths::from_env()?)?,
        None => super::ask(&mut client, Model::List).await?.embedding.wanted,
    };
    let Response::ModelTested(tested) = client.ask(Request::Model(Model::Test(name.clone()))).await? else {
        return Err(unexpected());
    };
    out.answer(
        || {
            let pairs: Vec<_> = tested.cosines.iter().map(|(a, b, cosine)| json!([a, b, cosine])).collect();
            json!({
                "name": name,
                "id": tested.id,
                "dims": tested.dims,
                "about": tested.about,
                "first_us": tested.first_us,
                "each_us": tested.each_us,
                "cosines": pairs,
                "sound": tested.is_sound,
            })
        },
        |style| as_text(&name, &tested, style),
    )?;
    Ok(if tested.is_sound { Exit::Ok } else { Exit::Failed })
}

fn as_text(name: &str, tested: &Tested, style: &Style) -> String {
    let Tested { id, dims, about, first_us, each_us, cosines, is_sound } = tested;
    let mut text = format!("{}  {id}, {dims} dimensions\n{about}\n", style.bold(name));
    text += &format!("first text {}, then {} a text\n\n", spent(*first_us), spent(*each_us));
    let rows: Vec<_> =
        cosines.iter().map(|(a, b, cosine)| vec![format!("{cosine:.3}"), format!("{a} / {b}")]).collect();
    text += &style.table(&[("COSINE", Paint::Cyan), ("SENTENCES", Paint::Plain)], &rows);
    text += "\n";
    text += &if *is_sound {
        style.paint(Paint::Green, "It tells what means the same from what does not.\n")
    } else {
        style.paint(Paint::Red, "It does not tell what means the same from what does not: do not use it.\n")
    };
    text
}

/// `35 us`, `12.3 ms`.
fn spent(us: u64) -> String {
    if us < 1000 { format!("{us} us") } else { format!("{:.1} ms", us as f64 / 1000.0) }
}
