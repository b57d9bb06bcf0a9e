//! A tool's arguments, read one by one. Whatever is left unread, or has the wrong type, is an error that names
//! it: nothing is ignored silently. It knows types and shapes, not what a tool does with them.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::clock;
use crate::error::{Error, Result};
use crate::model::Time;

/// The arguments of one call; `end` must be the last thing that is asked of it.
pub struct Arguments {
    tool: &'static str,
    given: Map<String, Value>,
    /// Every name that was asked for, for the sentence about an unknown one.
    known: Vec<&'static str>,
}

impl Arguments {
    pub fn new(tool: &'static str, given: Map<String, Value>) -> Self {
        Self { tool, given, known: Vec::new() }
    }

    /// The value; null is the same as not given, since some clients fill in every parameter.
    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.given.remove(name).filter(|value| !value.is_null())
    }

    /// What `read` asks for are older names of parameters: they are taken, and not offered.
    pub fn unlisted<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let listed = self.known.len();
        let value = read(self);
        self.known.truncate(listed);
        value
    }

    fn wrong<T>(&self, name: &str, wanted: &str, got: &Value) -> Result<T> {
        let got = match got {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        Err(Error::invalid(format!("`{name}` of {} must be {wanted}, not {got}.", self.tool)))
    }

    /// A text; an empty one counts as not given.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => self.wrong(name, "a text", &other),
        }
    }

    pub fn required_text(&mut self, name: &'static str) -> Result<String> {
        match self.text(name)? {
            Some(text) => Ok(text),
            None => Err(Error::invalid(format!("{} needs `{name}`, a text that is not empty.", self.tool))),
        }
    }

    /// A text with a meaning of its own: a kind, a session id.
    pub fn parsed<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
        match self.text(name)? {
            None => Ok(None),
            Some(text) => parse(&text).map(Some).map_err(|error| named(name, error)),
        }
    }

    /// One with a meaning of its own that must be there.
    pub fn required<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T>) -> Result<T> {
        let text = self.required_text(name)?;
        parse(&text).map_err(|error| named(name, error))
    }

    pub fn number(&mut self, name: &'static str, default: u32, least: u32) -> Result<u32> {
        let Some(value) = self.take(name) else { return Ok(default) };
        // Models write 5.0, and "5", for 5.
        let number = match &value {
            Value::String(text) => text.trim().parse::<f64>().ok(),
            other => other.as_f64(),
        };
        match number {
            // More than fits is as good as the most: a reply says what it left out.
            Some(number) if number.fract() == 0.0 && number >= f64::from(least) => Ok(number as u32),
            Some(_) => {
                Err(Error::invalid(format!("`{name}` of {} must be a whole number, {least} or more.", self.tool)))
            }
            None => self.wrong(name, "a whole number", &value),
        }
    }

    /// A list of texts; one text alone is a list of one.
    pub fn texts(&mut self, name: &'static str) -> Result<Vec<String>> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(items)) => items
                .into_iter()
                .map(|item| match item {
                    Value::String(text) => Ok(text),
                    other => self.wrong(name, "a list of texts", &other),
                })
                .collect(),
            Some(other) => self.wrong(name, "a list of texts", &other),
        }
    }

    /// A list of texts, or one text with commas between them.
    pub fn list(&mut self, name: &'static str) -> Result<Vec<String>> {
        let texts = self.texts(name)?;
        let parts = texts.iter().flat_map(|text| text.split(','));
        Ok(parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }

    /// A moment, in any of the ways that people type it.
    pub fn when(&mut self, name: &'static str) -> Result<Option<Time>> {
        self.parsed(name, |text| clock::parse_when(text, clock::now()))
    }

    /// A list of words of an enum.
    pub fn words<T: FromStr<Err = Error>>(&mut self, name: &'static str) -> Result<Vec<T>> {
        self.texts(name)?.iter().map(|word| word.parse().map_err(|error| named(name, error))).collect()
    }

    /// True or false; also as a text, as some models write it.
    pub fn yes(&mut self, name: &'static str) -> Result<bool> {
        self.flag(name, &["true"], &["false"])
    }

    /// The same, where not given is a third way.
    pub fn choice(&mut self, name: &'static str) -> Result<Option<bool>> {
        self.one_of(name, &["true"], &["false"])
    }

    /// True or false, or one of the words that mean them.
    pub fn flag(&mut self, name: &'static str, yes: &[&str], no: &[&str]) -> Result<bool> {
        Ok(self.one_of(name, yes, no)?.unwrap_or(false))
    }

    fn one_of(&mut self, name: &'static str, yes: &[&str], no: &[&str]) -> Result<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(Value::String(word)) if yes.contains(&word.as_str()) => Ok(Some(true)),
            Some(Value::String(word)) if no.contains(&word.as_str()) => Ok(Some(false)),
            Some(other) => self.wrong(name, "true or false", &other),
        }
    }

    /// The text of a JSON object, or empty.
    pub fn object(&mut self, name: &'static str) -> Result<String> {
        match self.take(name) {
            None => Ok(String::new()),
            Some(Value::Object(object)) if object.is_empty() => Ok(String::new()),
            Some(object @ Value::Object(_)) => Ok(object.to_string()),
            Some(other) => self.wrong(name, "an object", &other),
        }
    }

    /// An object with arguments of its own; `whole` is how sentences name it.
    pub fn inside(&mut self, name: &'static str, whole: &'static str) -> Result<Option<Self>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(given)) => Ok(Some(Self::new(whole, given))),
            Some(other) => self.wrong(name, "an object", &other),
        }
    }

    /// Refuses what nobody asked for.
    pub fn end(self) -> Result<()> {
        match self.given.keys().next() {
            None => Ok(()),
            Some(unknown) => Err(Error::invalid(format!(
                "{} has no parameter `{}`. It takes {}.",
                self.tool,
                unknown.chars().filter(|c| !c.is_control()).take(60).collect::<String>(),
                self.known.join(", ")
            ))),
        }
    }
}

fn named(name: &str, error: Error) -> Error {
    Error { message: format!("`{name}`: {}.", error.message.trim_end_matches('.')), ..error }
}
