//! Memoria as an agent meets it: the configured command is started and spoken to over its standard input and output,
//! and a hook is run with a clock beside it. Both end by themselves, whatever is wrong.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::spawn;
use crate::engine::matrixone::doctor::Finding;
use crate::error::{Error, Result};

/// What a hook is promised to take with a warm daemon, and when it gives up.
const HOOK_MS_FINE: u128 = 50;
const HOOK_MS_BAD: u128 = 300;
/// Asked of a hook to see how long it takes; what it finds is nobody's business.
const PROMPT: &str = "which rules hold in this project?";

/// Blocks, at most for as long as the start of a daemon may take.
pub fn findings(may_start: bool) -> Vec<Finding> {
    if !may_start {
        return vec![Finding::good("MCP", "not tried: no daemon has run here, and no agent is set up")];
    }
    let program = spawn::program("memoria");
    match round_trip(&program) {
        Ok(found) => vec![Finding::good("MCP", found), hook(&program)],
        Err(error) => {
            let remedy = "run `memoria restart`; if that does not help, `memoria logs` says why";
            vec![Finding::bad("MCP", error.message, remedy)]
        }
    }
}

/// `initialize`, then `tools/list`, through the command that agents are configured with.
fn round_trip(program: &Path) -> Result<String> {
    let introduction = json!({
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "memoria-doctor", "version": env!("CARGO_PKG_VERSION")},
    });
    let lines = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": introduction}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}),
    ];
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let (output, elapsed) = timed(Command::new(program).arg("mcp"), &input)?;
    let answers: Vec<Value> =
        output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let result = |id: u32| {
        let answer = answers.iter().find(|answer| answer["id"] == id);
        let answer = answer.ok_or_else(|| Error::unavailable(silence(&output)))?;
        match answer["error"]["message"].as_str() {
            Some(why) => Err(Error::unavailable(why.to_owned())),
            None => Ok(&answer["result"]),
        }
    };
    let version = result(1)?["serverInfo"]["version"].as_str().unwrap_or("of no version");
    let tools = result(2)?["tools"].as_array().map_or(0, Vec::len);
    if tools == 0 {
        return Err(Error::protocol("`memoria mcp` lists no tools"));
    }
    Ok(format!("{} mcp: version {version}, {tools} tools, {} ms", program.display(), elapsed.as_millis()))
}

/// What a shim that does not answer has to say for itself.
fn silence(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    match said.trim() {
        "" => "`memoria mcp` ended without an answer".to_owned(),
        said => said.to_owned(),
    }
}

/// A prompt's hook changes nothing, and takes the longest.
fn hook(program: &Path) -> Finding {
    let input = json!({"prompt": PROMPT}).to_string();
    let mut command = Command::new(program);
    let ran = timed(command.args(["hook", "prompt", "--agent", "claude-code"]), &input);
    let (output, elapsed) = match ran {
        Ok(ran) => ran,
        Err(error) => return Finding::bad("hooks", error.message, "install again, so that both programs are there"),
    };
    let found = format!("{} ms for a prompt", elapsed.as_millis());
    match elapsed.as_millis() {
        _ if !output.status.success() => Finding::bad("hooks", "one ended with a failure", "report this"),
        ..=HOOK_MS_FINE => Finding::good("hooks", found),
        millis if millis < HOOK_MS_BAD => Finding::good("hooks", format!("{found}; {HOOK_MS_FINE} is usual")),
        _ => {
            let found = format!("{found}: too long, so agents are told nothing");
            Finding::weak("hooks", found, "see `memoria logs --level warn`; is the machine or the disk very busy?")
        }
    }
}

/// Runs a program with this input to its end, and how long that took.
fn timed(command: &mut Command, input: &str) -> Result<(Output, Duration)> {
    let shown = Path::new(command.get_program()).display().to_string();
    let failed = |e: std::io::Error| Error::io(format_args!("run {shown}"), &e);
    let begun = Instant::now();
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever ends early says why on its way out.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    Ok((output, begun.elapsed()))
}
