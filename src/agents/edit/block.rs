//! Our text in a shared file of Markdown, between two markers that show nothing when it is read as Markdown. It is put
//! at the end; where somebody moves it, it stays there.

use std::ops::Range;

use super::{Past, newline_of, refusal, with_newlines_of};
use crate::error::Result;

const BEGIN: &str = "<!-- memoria:begin";
const BEGIN_LINE: &str = "<!-- memoria:begin (written by `memoria init`, taken back by `memoria uninstall`) -->";
const END_LINE: &str = "<!-- memoria:end -->";

/// The text with ours at its end, or in place of what is between the markers.
pub fn put(text: &str, ours: &str) -> Result<String> {
    let plain = format!("{BEGIN_LINE}\n{}\n{END_LINE}", ours.trim_end());
    let is_same = |found: &str| found.replace("\r\n", "\n") == plain;
    let block = with_newlines_of(text, &plain);
    let newline = newline_of(text);
    Ok(match find(text)? {
        Some(span) if is_same(&text[span.clone()]) => text.to_owned(),
        Some(span) => format!("{}{block}{}", &text[..span.start], &text[span.end..]),
        None if text.is_empty() => format!("{block}{newline}"),
        None if text.ends_with('\n') => format!("{text}{newline}{block}{newline}"),
        None => format!("{text}{newline}{newline}{block}{newline}"),
    })
}

/// Takes back what [`put`] did.
pub fn take_out(text: &str, ours: &str, past: Past<'_>) -> Result<Option<String>> {
    let Some(span) = find(text)? else { return Ok(Some(text.to_owned())) };
    if let Past::Text(before) = past {
        if let Some(old) = find(before).ok().flatten() {
            return Ok(Some(format!("{}{}{}", &text[..span.start], &before[old], &text[span.end..])));
        }
        // What was appended, with the blank line before it.
        if let Some(added) = put(before, ours)?.strip_prefix(before)
            && text.matches(added).count() == 1
        {
            return Ok(Some(text.replacen(added, "", 1)));
        }
    }
    let newline = newline_of(text);
    let head = &text[..span.start];
    let tail = text[span.end..].strip_prefix(newline).unwrap_or(&text[span.end..]);
    let is_parted = head.ends_with(&newline.repeat(2)) && (tail.is_empty() || tail.starts_with(newline));
    let head = if is_parted { &head[..head.len() - newline.len()] } else { head };
    let left = format!("{head}{tail}");
    Ok(Some(left).filter(|left| !(left.trim().is_empty() && past == Past::Absent)))
}

/// From the first byte of the opening marker to the last one of the closing marker. Markers inside of code are text.
fn find(text: &str) -> Result<Option<Range<usize>>> {
    let mut fence: Option<(char, usize, usize)> = None;
    let (mut found, mut open) = (None, None);
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        let indent = line.len() - line.trim_start_matches(' ').len();
        let mark = bare.chars().next().filter(|mark| matches!(mark, '`' | '~'));
        let run = mark.map_or(0, |mark| bare.chars().take_while(|c| *c == mark).count());
        match (fence, mark) {
            (Some((opened, wide, _)), _) => {
                let is_closed = mark == Some(opened) && run >= wide && run == bare.len() && indent < 4;
                fence = fence.filter(|_| !is_closed);
            }
            (None, Some(mark)) if run >= 3 && indent < 4 && !bare[run..].contains(mark) && open.is_none() => {
                fence = Some((mark, run, at));
            }
            _ if line.starts_with(BEGIN) && open.is_none() && found.is_none() => open = Some(at),
            _ if line.starts_with(BEGIN) => return Err(refusal(text, at, "a second `memoria:begin`")),
            _ if line.starts_with(END_LINE) => {
                let Some(start) = open.take() else { return Err(refusal(text, at, "`memoria:end` without a begin")) };
                found = Some(start..at + END_LINE.len());
            }
            _ => {}
        }
        at += line.len();
    }
    if let Some(start) = open {
        return Err(refusal(text, start, "`memoria:begin` without an end"));
    }
    match fence {
        Some((_, _, start)) if found.is_none() => Err(refusal(text, start, "a block of code that never ends")),
        _ => Ok(found),
    }
}
