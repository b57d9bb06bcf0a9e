//! One agent as the demo plays it: a `memoria mcp` child process, spoken to in JSON-RPC over its stdin and stdout.

use std::io::{BufRead, BufReader, Write};
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::{Error, Result};

use super::stage::Stage;

/// Far longer than anything in the demo takes; a demo that hangs is worse than one that fails.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

pub struct Agent {
    pub name: &'static str,
    stdin: ChildStdin,
    /// Lines of its stdout, from a thread that does nothing else.
    lines: Receiver<String>,
    calls: u64,
}

impl Agent {
    /// Starts the shim and says hello, as an MCP client does.
    pub fn start(stage: &Stage, name: &'static str, version: &str) -> Result<Self> {
        let (stdin, stdout) = stage.shim()?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(std::io::Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut agent = Self { name, stdin, lines, calls: 0 };
        agent.request(
            "initialize",
            json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": name, "version": version},
            }),
        )?;
        agent.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))?;
        Ok(agent)
    }

    /// Calls a tool and gives back its structured content.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Result<Value> {
        let result = self.request("tools/call", json!({"name": tool, "arguments": arguments}))?;
        if result["isError"] == true {
            return Err(self.wrong(&format!("{tool} was refused: {}", result["content"][0]["text"])));
        }
        Ok(result["structuredContent"].clone())
    }

    fn request(&mut self, method: &str, params: Value) -> Result<Value> {
        self.calls += 1;
        let id = self.calls;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        loop {
            let line = self.lines.recv_timeout(ANSWER_WITHIN).map_err(|e| match e {
                RecvTimeoutError::Timeout => self.wrong(&format!("{method} was not answered in time")),
                RecvTimeoutError::Disconnected => self.wrong(&format!("the shim ended during {method}")),
            })?;
            let mut answer: Value = serde_json::from_str(&line)
                .map_err(|_| self.wrong(&format!("the shim printed something else than JSON-RPC: {line}")))?;
            if answer["id"] != id {
                continue;
            }
            return match answer.get("error") {
                Some(error) => Err(self.wrong(&format!("{method} failed: {}", error["message"]))),
                None => Ok(answer["result"].take()),
            };
        }
    }

    fn send(&mut self, message: &Value) -> Result<()> {
        let line = format!("{message}\n");
        self.stdin.write_all(line.as_bytes()).map_err(|e| Error::io("write to `memoria mcp`", &e))
    }

    fn wrong(&self, what: &str) -> Error {
        Error::internal(format!("{}: {what}", self.name))
    }
}
