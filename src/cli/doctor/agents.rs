//! Each agent on this machine: whether its settings have what `memoria init` would write into them. What an agent's
//! plan would change is what is missing; nothing is written.

use crate::agents::{ALL, Agent, Machine, Purpose, Reach, Step};
use crate::engine::matrixone::doctor::Finding;

use super::super::edits::shown;
use super::super::service::installed_as;

pub struct Seen {
    pub findings: Vec<Finding>,
    /// An agent would start the daemon by itself.
    pub is_any_set_up: bool,
}

/// How it stands with one step of an agent's plan.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stand {
    Done,
    Missing,
    /// The file cannot be read, or is not what it should be.
    Broken(String),
}

pub fn findings() -> Seen {
    let machine = match Machine::here(installed_as()) {
        Ok(machine) => machine,
        Err(error) => {
            let finding = Finding::weak("agents", error.message, "set HOME, then try again");
            return Seen { findings: vec![finding], is_any_set_up: false };
        }
    };
    let seen: Vec<(Finding, bool)> =
        ALL.iter().filter(|agent| (agent.is_installed)(&machine)).map(|agent| look(agent, &machine)).collect();
    let is_any_set_up = seen.iter().any(|(_, is_set_up)| *is_set_up);
    let mut findings: Vec<Finding> = seen.into_iter().map(|(finding, _)| finding).collect();
    if findings.is_empty() {
        findings.push(Finding::good("agents", "none found that Memoria knows"));
    }
    Seen { findings, is_any_set_up }
}

/// What there is to say of an agent, and whether it knows Memoria's server.
fn look(agent: &Agent, machine: &Machine) -> (Finding, bool) {
    let steps = (agent.plan)(machine, &Reach::User);
    let stands: Vec<(Purpose, Stand)> = steps.iter().map(|step| (step.purpose, stand(step))).collect();
    let server = stands.iter().find(|(purpose, _)| *purpose == Purpose::Server).map(|(_, stand)| stand.clone());
    (judged(agent, &stands), server == Some(Stand::Done))
}

fn judged(agent: &Agent, stands: &[(Purpose, Stand)]) -> Finding {
    let init = format!("run `memoria init --agent {}`", agent.name);
    if let Some(why) =
        stands.iter().find_map(|(_, stand)| if let Stand::Broken(why) = stand { Some(why) } else { None })
    {
        return Finding::weak(agent.title, why.clone(), format!("mend the file, then {init}"));
    }
    let of = |wanted: Stand| -> Vec<&str> {
        let mut names: Vec<_> =
            stands.iter().filter(|(_, stand)| *stand == wanted).map(|(purpose, _)| purpose.as_str()).collect();
        names.dedup();
        names
    };
    let (done, missing) = (of(Stand::Done), of(Stand::Missing));
    match (done.is_empty(), missing.is_empty()) {
        (true, true) => Finding::good(agent.title, "nothing to set up for every project"),
        (_, true) => Finding::good(agent.title, format!("set up: {}", done.join(", "))),
        (true, _) => Finding::weak(agent.title, "installed, and does not know Memoria", init),
        (false, false) => {
            let found =
                format!("has {}, and lacks (or has of another version): {}", done.join(", "), missing.join(", "));
            Finding::weak(agent.title, found, init)
        }
    }
}

fn stand(step: &Step) -> Stand {
    let shown = shown(&step.file);
    let text = match std::fs::read_to_string(&step.file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Stand::Missing,
        Err(error) => return Stand::Broken(format!("cannot read {shown}: {error}")),
    };
    match step.edit.apply(Some(&text)) {
        Ok(after) if after == text => Stand::Done,
        Ok(_) => Stand::Missing,
        Err(error) => Stand::Broken(format!("{shown}: {}", error.message)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::agents::{Edit, Source, System, Tried};

    const TITLE: &str = "An Agent";

    fn machine(home: &Path) -> Machine {
        Machine {
            home: home.to_owned(),
            config: home.join(".config"),
            system: System::Linux,
            path: Vec::new(),
            moved: Vec::new(),
            memoria: "/opt/memoria".into(),
        }
    }

    fn agent() -> Agent {
        let plan = |machine: &Machine, _: &Reach| {
            let whole = |name: &str, text: &str, purpose| Step {
                file: machine.home.join(name),
                purpose,
                edit: Edit::Whole { text: text.to_owned() },
            };
            vec![whole("server", "s", Purpose::Server), whole("rule", "r", Purpose::Rule)]
        };
        let source = Source { page: "", read: "", tried: Tried::Documentation };
        Agent { name: "an-agent", title: TITLE, source, is_installed: |_| true, plan }
    }

    #[test]
    fn an_agent_is_what_its_files_say() {
        let home = tempfile::tempdir().unwrap();
        let look = || look(&agent(), &machine(home.path()));
        let (finding, is_set_up) = look();
        assert!(finding.found.contains("does not know") && !is_set_up, "{finding:?}");
        assert!(finding.remedy.unwrap().contains("memoria init --agent an-agent"));
        std::fs::write(home.path().join("server"), "s").unwrap();
        let (finding, is_set_up) = look();
        assert!(finding.found.ends_with("rule") && finding.remedy.is_some() && is_set_up, "{}", finding.found);
        std::fs::write(home.path().join("rule"), "r").unwrap();
        assert_eq!(look().0, Finding::good(TITLE, "set up: server, rule"));
        std::fs::write(home.path().join("server"), [0xff, 0xfe]).unwrap();
        let (finding, is_set_up) = look();
        assert!(finding.found.contains("cannot read") && !is_set_up, "{finding:?}");
    }
}
