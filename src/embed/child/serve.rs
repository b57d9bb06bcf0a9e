//! The process `memoriad embed`: reads what to load, then texts, writes vectors, and ends at the end of its input or
//! when nobody has asked for a while. What it prints on its error output is for the parent's errors.

use std::io;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::frame::{self, Reply, Start};
use super::recipe;
use super::runtime::Model;
use crate::embed::tokens::Tokenizer;

/// Runs until its input ends.
pub fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        // The parent is gone, or what it says is not ours to understand.
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    let mut output = io::stdout().lock();
    let Some(body) = frame::read(&mut io::stdin().lock())? else { return Ok(()) };
    let start: Start = serde_json::from_slice(&body)?;
    let idle = Duration::from_millis(start.idle_ms);
    let (mut model, tokenizer) = match loaded(start) {
        Ok(loaded) => loaded,
        Err(why) => return frame::write(&mut output, &Reply::Failed(why).bytes()),
    };
    let about = format!("{}, {}", tokenizer.kind(), model.runtime);
    frame::write(&mut output, &Reply::Ready(about).bytes())?;
    let (tell, requests) = mpsc::channel();
    std::thread::Builder::new().name("input".to_owned()).spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let read = frame::read(&mut input);
            let is_over = !matches!(read, Ok(Some(_)));
            if tell.send(read).is_err() || is_over {
                return;
            }
        }
    })?;
    loop {
        let body = match requests.recv_timeout(idle) {
            Ok(read) => read?,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        };
        let Some(body) = body else { return Ok(()) };
        let texts: Vec<String> = serde_json::from_slice(&body)?;
        frame::write(&mut output, &vectors(&mut model, &tokenizer, &texts).bytes())?;
    }
}

fn loaded(start: Start) -> Result<(Model, Tokenizer), String> {
    let json = recipe::json(&start.recipe.folder.join("tokenizer.json")).map_err(|e| e.message)?;
    let tokenizer = Tokenizer::open(&start.recipe.folder, &json).map_err(|e| e.message)?;
    drop(json);
    Ok((Model::load(start.recipe, start.runtime.as_deref())?, tokenizer))
}

/// Each text by itself: together they would take as long on one thread, and the scales of an int8 model are those of
/// everything that goes through it at once, so that a text's vector would depend on its neighbours.
fn vectors(model: &mut Model, tokenizer: &Tokenizer, texts: &[String]) -> Reply {
    let pieces_max = model.pieces_max();
    let vectors = texts.iter().map(|text| model.vector(&tokenizer.numbers(text, pieces_max)));
    match vectors.collect::<Result<Vec<_>, _>>() {
        Ok(vectors) => Reply::Vectors(vectors.concat()),
        Err(why) => Reply::Failed(why),
    }
}
