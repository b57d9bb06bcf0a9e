//! One line of the plain format as a row: JSON to types, with a reason for people where it does not fit.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::clock;
use crate::model::{Confidence, Feedback, SessionId, SubjectId, Time};
use crate::wire::message::Row;

/// The row, and the fields that nothing is made of.
pub fn parse(line: &[u8], number: u32) -> Result<(Row, Vec<String>), String> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let parsed = json.deserialize_map(Fields).and_then(|parsed| json.end().map(|()| parsed));
    let (mut row, ignored) = parsed.map_err(|e| reason(&e))?;
    row.line = number;
    Ok((row, ignored))
}

/// Every line is line 1 to the parser: only the column says something.
fn reason(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or(&said);
    if error.is_data() { said.to_owned() } else { format!("no JSON object: {said}, column {}", error.column()) }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = (Row, Vec<String>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a `text`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut row = Row::default();
        let mut has_text = false;
        let mut ignored = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "text" => {
                    row.text = value(&mut map, "text")?;
                    has_text = true;
                }
                "kind" => row.kind = word(value(&mut map, "kind")?)?,
                "tags" => row.tags = value::<_, Option<_>>(&mut map, "tags")?.unwrap_or_default(),
                "trust" => row.trust = word(value(&mut map, "trust")?)?,
                "confidence" => row.confidence = confidence(value(&mut map, "confidence")?)?,
                "project" => row.project = value(&mut map, "project")?,
                "session" => row.session = named(value(&mut map, "session")?, SessionId::new)?,
                "subject" => row.subject = named(value(&mut map, "subject")?, SubjectId::new)?,
                "origin" => origin(&mut row, value(&mut map, "origin")?, &mut ignored)?,
                "created_at" => row.created_at = time(value(&mut map, "created_at")?)?,
                "observed_at" => row.observed_at = time(value(&mut map, "observed_at")?)?,
                "expires_at" => row.expires_at = time(value(&mut map, "expires_at")?)?,
                "pinned" => row.is_pinned = value::<_, Option<_>>(&mut map, "pinned")?.unwrap_or(false),
                "metadata" => {
                    let metadata: Map<String, Value> = value::<_, Option<_>>(&mut map, "metadata")?.unwrap_or_default();
                    row.metadata =
                        if metadata.is_empty() { String::new() } else { Value::Object(metadata).to_string() };
                }
                "feedback" => row.feedback = feedback(value(&mut map, "feedback")?, &mut ignored)?,
                // An export says it; whoever takes the text in judges it anew.
                "flags" => drop(map.next_value::<IgnoredAny>()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    ignored.push(key);
                }
            }
        }
        if has_text { Ok((row, ignored)) } else { Err(A::Error::custom("there is no `text`")) }
    }
}

/// The value behind a key; a refusal names the key.
fn value<'de, A: MapAccess<'de>, T: serde::Deserialize<'de>>(map: &mut A, key: &str) -> Result<T, A::Error> {
    map.next_value().map_err(|e| {
        let said = e.to_string();
        let is_syntax = said.starts_with("EOF") || said.starts_with("expected") || said.contains("control character");
        if is_syntax { e } else { A::Error::custom(format!("`{key}`: {said}")) }
    })
}

fn word<T: FromStr<Err = crate::error::Error>, E: serde::de::Error>(word: Option<String>) -> Result<Option<T>, E> {
    word.map(|word| word.parse().map_err(|e: crate::error::Error| E::custom(e.message))).transpose()
}

fn named<T, E: serde::de::Error>(
    word: Option<String>,
    make: impl Fn(String) -> crate::error::Result<T>,
) -> Result<Option<T>, E> {
    word.map(|word| make(word).map_err(|e| E::custom(e.message))).transpose()
}

fn time<E: serde::de::Error>(word: Option<String>) -> Result<Option<Time>, E> {
    word.map(|word| clock::parse_rfc3339_or_date(&word).map_err(|e| E::custom(e.message))).transpose()
}

fn confidence<E: serde::de::Error>(share: Option<f64>) -> Result<Option<Confidence>, E> {
    match share {
        None => Ok(None),
        Some(share) if (0.0..=1.0).contains(&share) => Ok(Some(Confidence((share * 1000.0).round() as u16))),
        Some(share) => Err(E::custom(format!("`confidence` is {share}, and goes from 0 to 1"))),
    }
}

fn origin<E: serde::de::Error>(
    row: &mut Row,
    of: Option<Map<String, Value>>,
    ignored: &mut Vec<String>,
) -> Result<(), E> {
    for (key, value) in of.unwrap_or_default() {
        let text = match value {
            Value::String(text) => Some(text),
            Value::Null => None,
            _ => return Err(E::custom(format!("`origin.{key}` is no text"))),
        };
        match key.as_str() {
            "source" => row.source = word(text)?,
            "agent" => row.agent = text,
            "agent_version" => row.agent_version = text,
            "tool" => row.tool = text,
            "file" => row.file = text,
            _ => ignored.push(format!("origin.{key}")),
        }
    }
    Ok(())
}

fn feedback<E: serde::de::Error>(of: Option<Map<String, Value>>, ignored: &mut Vec<String>) -> Result<Feedback, E> {
    let mut said = Feedback::default();
    for (key, value) in of.unwrap_or_default() {
        let unfit = || E::custom(format!("`feedback.{key}` is {value}: counts are whole numbers, times are texts"));
        let count = || if value.is_null() { Some(0) } else { value.as_u64() }.ok_or_else(unfit);
        // Counts stop at their largest.
        let count = || count().map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let at = || match &value {
            Value::Null => Ok(None),
            Value::String(text) => time(Some(text.clone())),
            _ => Err(unfit()),
        };
        match key.as_str() {
            "useful" => said.useful = count()?,
            "irrelevant" => said.irrelevant = count()?,
            "outdated" => said.outdated = count()?,
            "wrong" => said.wrong = count()?,
            "useful_at" => said.useful_at = at()?,
            "doubted_at" => said.doubted_at = at()?,
            _ => ignored.push(format!("feedback.{key}")),
        }
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Source, Trust};

    #[test]
    fn every_field_of_the_format_is_read() {
        let line = br#"{"text":"a","kind":"procedural","tags":["x","y"],"trust":"T2","confidence":0.75,
            "project":"p","session":"s","subject":"u","created_at":"2026-05-01T10:00:00Z","pinned":true,
            "origin":{"source":"agent","agent":"cursor","agent_version":null,"tool":"t","file":"f"},
            "metadata":{"b":1,"a":[2]},"expires_at":null,
            "feedback":{"useful":2,"wrong":99999999999,"useful_at":"2026-05-01T10:00:00Z","doubted_at":null}}"#;
        let (row, ignored) = parse(line, 7).unwrap();
        assert_eq!((row.line, row.text.as_str(), row.kind), (7, "a", Some(Kind::Procedural)));
        assert_eq!((row.trust, row.confidence), (Some(Trust::T2), Some(Confidence(750))));
        assert_eq!((row.source, row.agent.as_deref()), (Some(Source::Agent), Some("cursor")));
        assert_eq!((row.created_at, row.is_pinned), (Some(Time(1_777_629_600_000)), true));
        assert_eq!((row.metadata.as_str(), row.tags.len()), (r#"{"b":1,"a":[2]}"#, 2));
        assert_eq!((row.feedback.useful, row.feedback.irrelevant, row.feedback.wrong), (2, 0, u32::MAX));
        assert_eq!((row.feedback.useful_at, row.feedback.doubted_at), (Some(Time(1_777_629_600_000)), None));
        assert_eq!(ignored, [""; 0]);
    }

    #[test]
    fn unknown_fields_are_told_and_not_taken() {
        let (_, ignored) =
            parse(br#"{"id":5,"text":"a","origin":{"planet":"x"},"feedback":{"stars":5},"more":{"deep":[1]}}"#, 1)
                .unwrap();
        assert_eq!(ignored, ["id", "origin.planet", "feedback.stars", "more"]);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_reason() {
        for (line, reason) in [
            (&b"{"[..], "no JSON object: EOF while parsing an object, column 1"),
            (b"[1]", "expected an object with a `text`"),
            (b"{}", "there is no `text`"),
            (br#"{"text":5}"#, "`text`: invalid type: integer `5`, expected a string"),
            (br#"{"text":"a","kind":"fact"}"#, "`fact` is not a kind: use one of"),
            (br#"{"text":"a","confidence":2}"#, "`confidence` is 2, and goes from 0 to 1"),
            (br#"{"text":"a","feedback":{"wrong":-1}}"#, "`feedback.wrong` is -1: counts are whole numbers"),
            (br#"{"text":"a","created_at":"soon"}"#, "`soon` is not a time"),
            (br#"{"text":"a"} x"#, "trailing characters, column 14"),
            (b"{\"text\":\"\xff\"}", "invalid unicode"),
        ] {
            let said = parse(line, 1).unwrap_err();
            assert!(said.contains(reason), "{said} should say {reason}");
        }
    }
}
