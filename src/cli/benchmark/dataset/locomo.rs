//! LoCoMo's files: long conversations in dated sessions, and questions whose evidence names turns. A turn is one
//! memory,
//! `(date) Speaker: text`; a conversation is a store, and each of its sessions is one.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use super::{Dataset, Part, Question, Shape, TOP_K, Wanted, World, element, id, object};
use crate::clock;
use crate::model::{SessionId, Time};
use crate::wire::message::Row;

/// Questions that the conversation does not answer as they are put: in no published figure.
const ADVERSARIAL: &str = "5";

#[derive(Deserialize)]
struct Turn {
    speaker: String,
    dia_id: String,
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Asked {
    question: String,
    #[serde(default)]
    evidence: Vec<String>,
    category: Value,
}

pub fn read(list: Vec<Value>) -> Result<Dataset, String> {
    let mut dataset = Dataset { name: String::new(), shape: Shape::Locomo, worlds: Vec::new(), notes: Vec::new() };
    for (number, value) in list.into_iter().enumerate() {
        let what = format!("conversation {}", number + 1);
        let world = world(value, &what, &mut dataset.notes).map_err(|why| format!("{what}: {why}"))?;
        dataset.worlds.push(world);
    }
    Ok(dataset)
}

fn world(value: Value, what: &str, notes: &mut Vec<String>) -> Result<World, String> {
    let mut value = object(value)?;
    let name = value.get("sample_id").and_then(id).unwrap_or_else(|| what.to_owned());
    let conversation = object(value.remove("conversation").unwrap_or_default())?;
    let mut world = World { name: name.clone(), ..World::default() };
    let mut places = HashMap::new();
    for (number, turns) in sessions(&conversation) {
        let date = conversation.get(&format!("session_{number}_date_time")).and_then(Value::as_str);
        let date = date.ok_or_else(|| format!("session {number} has no `session_{number}_date_time`"))?;
        let begun = moment(date).ok_or_else(|| format!("`{date}` is no date such as `1:56 pm on 8 May, 2023`"))?;
        for (at, turn) in turns.iter().enumerate() {
            let turn: Turn = element(&format!("session {number}, turn"), at, turn.clone())?;
            places.insert(turn.dia_id, world.rows.len());
            world.rows.push(Row {
                text: format!("({date}) {}: {}", turn.speaker, turn.text),
                session: SessionId::new(format!("session {number}")).ok(),
                // A second apart, so that their order is kept.
                observed_at: Some(begun.plus_ms(1000 * at as i64)),
                ..Row::default()
            });
        }
    }
    let (mut unresolved, mut strays) = (Vec::new(), Vec::new());
    let asked = value.remove("qa").and_then(|qa| qa.as_array().cloned()).ok_or("`qa` is not a list")?;
    for (at, one) in asked.into_iter().enumerate() {
        let one: Asked = element("question", at, one)?;
        let named: Vec<String> = one.evidence.iter().flat_map(|text| turns_named(text)).collect();
        let mut wanted: Vec<usize> = named.iter().filter_map(|turn| places.get(turn).copied()).collect();
        strays.extend(named.into_iter().filter(|turn| !places.contains_key(turn)));
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            unresolved.push(format!("\"{}\"", one.question));
            continue;
        }
        let category = id(&one.category).ok_or_else(|| format!("question {}: `category` is no number", at + 1))?;
        let part = if category == ADVERSARIAL { Part::Apart } else { Part::Whole };
        world.questions.push(Question {
            text: one.question,
            top_k: TOP_K,
            category,
            part,
            wanted: Wanted::Memories(wanted),
        });
    }
    if !unresolved.is_empty() {
        let (count, named) = (unresolved.len(), unresolved.join(", "));
        notes.push(format!("{name}: {count} left out, whose evidence names no turn that is there: {named}"));
    }
    if !strays.is_empty() {
        notes.push(format!("{name}: evidence that is no turn of it was passed over: {}", strays.join(", ")));
    }
    Ok(world)
}

/// By their numbers, since the file's own order is not theirs.
fn sessions(conversation: &serde_json::Map<String, Value>) -> BTreeMap<u32, &Vec<Value>> {
    let number = |name: &str| name.strip_prefix("session_")?.parse().ok();
    conversation.iter().filter_map(|(name, turns)| Some((number(name)?, turns.as_array()?))).collect()
}

/// `D8:6; D9:17` names two turns.
fn turns_named(text: &str) -> Vec<String> {
    text.split([';', ',', ' ']).map(str::trim).filter(|turn| !turn.is_empty()).map(str::to_owned).collect()
}

/// `1:56 pm on 8 May, 2023`.
fn moment(text: &str) -> Option<Time> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let (clock_time, day) = text.split_once(" on ")?;
    let (digits, half) = clock_time.trim().split_once(' ')?;
    let (hour, minute) = digits.split_once(':')?;
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    let hour = match half.trim().to_lowercase().as_str() {
        "am" => hour % 12,
        "pm" => hour % 12 + 12,
        _ => return None,
    };
    let (day, year) = day.split_once(',')?;
    let (day, month) = day.trim().split_once(' ')?;
    let month = MONTHS.iter().position(|name| month.trim().to_lowercase().starts_with(name))? + 1;
    let (day, year): (u32, u32) = (day.parse().ok()?, year.trim().parse().ok()?);
    clock::parse_rfc3339_or_date(&format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:00Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written() {
        for (text, read) in [
            ("1:56 pm on 8 May, 2023", "2023-05-08T13:56:00.000Z"),
            ("12:09 am on 13 September, 2023", "2023-09-13T00:09:00.000Z"),
            ("12:30 pm on 1 January, 2024", "2024-01-01T12:30:00.000Z"),
        ] {
            assert_eq!(moment(text).map(clock::rfc3339).as_deref(), Some(read));
        }
        for text in ["", "8 May, 2023", "1:56 on 8 May, 2023", "1:56 pm on 8 Mai, 2023", "1:56 pm on 41 May, 2023"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn evidence_may_name_several_turns_in_one_text() {
        assert_eq!(turns_named("D8:6; D9:17"), ["D8:6", "D9:17"]);
        assert_eq!(turns_named("D1:3"), ["D1:3"]);
    }
}
