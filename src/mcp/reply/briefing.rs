//! A briefing as text for a model: what is ours in plain lines, every memory as quoted data.

use super::super::quote::Quote;
use super::{counted, on};
use crate::clock;
use crate::wire::message::{Briefed, News, Told, Why};

/// Empty where there is nothing to say. It only ever says what it was given: whether that fits is the service's.
pub fn written(briefed: &Briefed) -> String {
    let mut lines = Vec::new();
    if let Some(open) = briefed.open_conflicts {
        let branch = briefed.point.name.as_ref().map(|name| format!(" into {name}")).unwrap_or_default();
        let conflicts = if open == 1 { "1 conflict waits" } else { &format!("{open} conflicts wait") };
        lines.push(format!("A merge{branch} is in progress: {conflicts} (memory_resolve)."));
    }
    lines.extend(briefed.news.as_ref().map(news));
    if briefed.withheld > 0 {
        let what = counted(briefed.withheld as usize, "");
        lines.push(format!("{what} not shown here: flagged, and vouched for by nobody (memory_list shows them)."));
    }
    if briefed.told.is_empty() && lines.is_empty() {
        return String::new();
    }
    let is_prompt = briefed.told.iter().any(|told| told.why == Why::Relevant);
    let opening = match (&briefed.point.name, is_prompt) {
        (_, true) => "Memoria: memories that bear on this prompt.".to_owned(),
        (Some(branch), false) => format!("Memoria: what is remembered here{}.", on(branch)),
        (None, false) => "Memoria: what is remembered here.".to_owned(),
    };
    lines.insert(0, opening);
    if !briefed.told.is_empty() {
        lines.push(quoted(&briefed.told));
    }
    if briefed.left_out > 0 {
        lines
            .push(format!("{} left out here; memory_retrieve finds them.", counted(briefed.left_out as usize, "more")));
    }
    lines.join("\n")
}

fn quoted(told: &[Told]) -> String {
    let mut quote = Quote::default();
    let mut before = None;
    for one in told {
        let heading = match one.why {
            Why::Pinned => "Pinned:",
            Why::Rule => "Rules and decisions:",
            Why::News => "New or changed:",
            Why::Relevant => "",
        };
        if before.replace(one.why) != Some(one.why) && !heading.is_empty() {
            quote.say(heading.to_owned());
        }
        quote.add(&one.memory, if one.is_shortened { "shortened" } else { "" }, false, 0);
    }
    quote.written()
}

fn news(news: &News) -> String {
    let counts = &news.counts;
    let own = if news.own == 0 { String::new() } else { format!("; {} of them your own", news.own) };
    format!(
        "Since you last looked ({}): {} added, {} changed, {} removed{own}.",
        clock::rfc3339(news.since).get(..16).unwrap_or_default().replace('T', " "),
        counts.added,
        counts.changed,
        counts.removed
    )
}
