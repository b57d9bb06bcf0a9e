//! `memoria completions`: a script for the shell.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::error::Result;

use super::exit::Exit;
use super::terminal::Out;

/// Print completions for a shell
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  memoria completions bash > ~/.local/share/bash-completion/completions/memoria\n  \
    memoria completions zsh > ~/.zfunc/_memoria\n  memoria completions fish > ~/.config/fish/completions/memoria.fish"
)]
pub struct Args {
    shell: Shell,
}

pub fn run(args: &Args, out: &Out) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "memoria", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    out.answer(|| serde_json::json!({"shell": args.shell.to_string(), "script": script}), |_| script.clone())?;
    Ok(Exit::Ok)
}
