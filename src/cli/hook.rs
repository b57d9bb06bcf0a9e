//! `memoria hook EVENT --agent NAME`: what an agent runs at its own events. It reads the event's JSON, asks the
//! daemon that runs for a briefing, and prints what that agent wants to hear, and not a byte else. Whatever breaks,
//! and whatever takes long, it is silent and ends with 0: a broken memory never keeps an agent from its work. Why
//! goes to the log.

mod note;
mod payload;
mod protocol;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::client::{self, Running, project, spawn};
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::wire::message::{Brief, Checked, ClientKind, Open, Request, Response};

use super::ask;
use payload::Payload;
use protocol::{Event, Protocol};

/// From the first line of `main` to the end. The promise is 300 ms, and two programs have to be started within it.
const WITHIN: Duration = Duration::from_millis(250);
/// How often a daemon that is being started is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// A prompt of more than this was not typed, and is not read.
const PAYLOAD_BYTES_MAX: u64 = 1 << 20;

/// Answer an event of an agent: a briefing, or memories for a prompt
#[derive(clap::Args)]
#[command(after_help = "Agents run it; `memoria init` writes it into their settings.\n\
    Example:\n  echo '{\"prompt\": \"how do we deploy?\"}' | \\\n    memoria hook prompt --agent claude-code\n\n\
    It reads the event's JSON on stdin and answers in that agent's form.\n\
    It takes 300 ms at most, always ends with 0, and where something is wrong\n\
    it says nothing: `memoria logs` and `memoria doctor` say why.")]
pub struct Args {
    /// session-start, prompt, pre-compact or session-end
    #[arg(value_name = "EVENT")]
    _event: String,
    /// claude-code, gemini, codex, cursor or kiro
    #[arg(long = "agent", value_name = "NAME")]
    _agent: String,
}

/// Answers the event that was typed after `hook`, without a word to anybody but the agent.
pub fn run(typed: &[OsString]) -> ExitCode {
    let begun = Instant::now();
    // A panic's text would reach the agent's terminal.
    std::panic::set_hook(Box::new(|_| {}));
    let words: Vec<String> = typed.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let shown = words.join(" ");
    let (sender, done) = mpsc::channel();
    let worker = std::thread::Builder::new().name("hook".into()).spawn(move || {
        let _ = sender.send(answer(&words, begun));
    });
    let why = match worker.map(|_| done.recv_timeout(WITHIN.saturating_sub(begun.elapsed()))) {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(error))) => Some(error.message),
        Ok(Err(mpsc::RecvTimeoutError::Timeout)) => {
            Some(format!("no answer within {} ms, so nothing was said", WITHIN.as_millis()))
        }
        Ok(Err(mpsc::RecvTimeoutError::Disconnected)) => Some("a fault of Memoria's ended it".to_owned()),
        Err(error) => Some(format!("cannot begin: {error}")),
    };
    if let Some(why) = why {
        note::append(note::Level::Warn, &shown, &why);
    }
    // The other thread may still wait for something; it must not keep the process.
    std::process::exit(0)
}

fn answer(words: &[String], begun: Instant) -> Result<()> {
    let (event, protocol) = understood(words)?;
    let payload = Payload::read(std::io::stdin().take(PAYLOAD_BYTES_MAX + 1), PAYLOAD_BYTES_MAX)?;
    let Some(brief) = wanted(event, protocol, &payload) else { return Ok(()) };
    let open = introduced(&payload);
    let paths = Paths::from_env()?;
    ask::block_on(async {
        let Some(mut daemon) = reach(&paths, &open, event, begun).await? else {
            if is_worth_a_daemon(event) {
                note::append(note::Level::Info, &words.join(" "), "no daemon ran; one is being started");
            }
            return Ok(());
        };
        let agent = brief.agent.clone().filter(|_| event == Event::SessionStart);
        let heard =
            Brief { checked: Checked::Heard, agent, conversation: brief.conversation.clone(), ..Brief::default() };
        let Some(Response::Briefed(briefed)) = daemon.ask(Request::Brief(brief)).await? else { return Ok(()) };
        let Some(reply) = protocol.reply(event, &briefed.text) else { return Ok(()) };
        print(&reply)?;
        // Only what has left this process was told: an answer that came too late is still news.
        daemon.ask(Request::Brief(heard)).await.map(drop)
    })
}

/// In one piece: whoever reads it gets all or nothing.
fn print(reply: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(reply.as_bytes()).and_then(|()| out.flush()).map_err(|e| Error::io("answer the agent", &e))
}

/// `EVENT --agent NAME` in either order.
fn understood(words: &[String]) -> Result<(Event, &'static Protocol)> {
    let (mut event, mut agent) = (None, None);
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--agent" => agent = rest.next().cloned(),
            // Every answer is for a program.
            "--json" => {}
            word => match word.strip_prefix("--agent=") {
                Some(name) => agent = Some(name.to_owned()),
                None => event = Some(word.to_owned()),
            },
        }
    }
    let event = event.ok_or_else(|| Error::invalid("no event was named"))?;
    let agent = agent.ok_or_else(|| Error::invalid("no agent was named: add `--agent NAME`"))?;
    Ok((Event::parse(&event)?, Protocol::of(&agent)?))
}

/// What to ask the daemon; `None` where this agent would not hear the answer, or nothing is to be said to it.
fn wanted(event: Event, protocol: &Protocol, payload: &Payload) -> Option<Brief> {
    let agent = Some(protocol.agent.to_owned());
    let conversation = payload.conversation.clone();
    let brief = Brief { agent, conversation, ..Brief::default() };
    match event {
        Event::SessionStart => Some(Brief { checked: Checked::Note, ..brief }),
        Event::Prompt => {
            let prompt = payload.prompt.clone().filter(|prompt| is_question(prompt))?;
            protocol.hears(event).then_some(Brief { prompt: Some(prompt), ..brief })
        }
        // Nobody hears an answer at these events: what was told is gone, or soon will be, and may be told again.
        Event::PreCompact | Event::SessionEnd => {
            brief.conversation.is_some().then_some(Brief { checked: Checked::Void, ..brief })
        }
    }
}

/// Commands of the agent's own are not questions.
fn is_question(prompt: &str) -> bool {
    let prompt = prompt.trim();
    !prompt.is_empty() && !prompt.starts_with('/')
}

/// Who asks: somebody in the agent's folder, whatever folder this process was started in.
fn introduced(payload: &Payload) -> Open {
    let open = client::introduction(ClientKind::Cli);
    match &payload.folder {
        Some(folder) if Path::new(folder).is_absolute() => {
            Open { project: project::identify(Path::new(folder)), cwd: folder.clone(), ..open }
        }
        _ => open,
    }
}

const fn is_worth_a_daemon(event: Event) -> bool {
    matches!(event, Event::SessionStart | Event::Prompt)
}

/// The daemon that runs. Where there is none, a session's beginning starts one and waits as long as it may: what it
/// brings is worth that once. A prompt only starts one, for the next prompt.
async fn reach(paths: &Paths, open: &Open, event: Event, begun: Instant) -> Result<Option<Running>> {
    let mut running = Running::connect(paths, open).await?;
    if running.is_some() || !is_worth_a_daemon(event) {
        return Ok(running);
    }
    spawn::detached()?;
    while event == Event::SessionStart && running.is_none() && begun.elapsed() < WITHIN {
        tokio::time::sleep(LOOK_AGAIN).await;
        running = Running::connect(paths, open).await?;
    }
    Ok(running)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn event_and_agent_come_in_either_order() {
        for text in
            ["prompt --agent codex", "--agent codex prompt", "--agent=codex prompt", "prompt --json --agent codex"]
        {
            let (event, protocol) = understood(&words(text)).unwrap();
            assert_eq!((event, protocol.agent), (Event::Prompt, "codex"), "{text}");
        }
        for text in ["", "prompt", "--agent codex", "prompt --agent", "prompt --agent nobody", "stop --agent codex"] {
            assert!(understood(&words(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn commands_and_silence_are_no_questions() {
        for prompt in ["", "  \n", "/compact", " /clear now"] {
            assert!(!is_question(prompt), "{prompt:?}");
        }
        assert!(is_question("how do we deploy?"));
    }

    #[test]
    fn nothing_is_asked_for_an_agent_that_would_not_hear_it() {
        let payload = Payload { prompt: Some("how?".to_owned()), ..Payload::default() };
        assert!(wanted(Event::Prompt, Protocol::of("cursor").unwrap(), &payload).is_none());
        assert!(wanted(Event::Prompt, Protocol::of("claude-code").unwrap(), &payload).is_some());
        assert!(wanted(Event::PreCompact, Protocol::of("claude-code").unwrap(), &payload).is_none());
    }
}
