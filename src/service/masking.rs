//! The policy for secrets (`guard.secrets`), applied to whatever a request brings, field by field: refused, masked, or
//! kept as it is. Before anything is measured, hashed, embedded, logged or written; the reply says what and where.

use std::borrow::Cow;
use std::fmt::Display;

use crate::config::Secrets;
use crate::error::{Error, Result};
use crate::guard::secrets::{self, Mark};
use crate::model::{Masked, Name, Spot};

/// The field as it may be kept; what was masked is added to the list. Its name is written only where something was.
pub(super) fn mask(policy: Secrets, field: impl Display, text: String, masked: &mut Vec<Masked>) -> Result<String> {
    if policy == Secrets::Allow {
        return Ok(text);
    }
    // Texts are kept without the blanks around them, and places are told as they are then.
    let (clean, marks) = secrets::mask(text.trim());
    if marks.is_empty() {
        return Ok(text);
    }
    if policy == Secrets::Block {
        let mut what: Vec<&str> = marks.iter().map(|mark| mark.what).collect();
        what.dedup();
        return Err(Error::invalid(format!(
            "nothing was written: {field} contains what looks like a secret ({}). Say it without the secret.",
            what.join(", ")
        )));
    }
    for (mark, spot) in marks.iter().zip(spots(&field.to_string(), &clean, &marks)) {
        Masked::gather(masked, Masked { what: mark.what.to_owned(), count: 1, spots: vec![spot] });
    }
    Ok(clean.into_owned())
}

/// A question as it is looked for: what memories hold masked is found masked, and no secret goes to an embedder.
pub(super) fn question(policy: Secrets, text: &str) -> Cow<'_, str> {
    if policy == Secrets::Allow { Cow::Borrowed(text) } else { secrets::mask(text).0 }
}

/// A name stands in commits, logs and files, and cannot be half of what was typed.
pub(super) fn name(policy: Secrets, name: Name) -> Result<Name> {
    match secrets::mask(name.as_str()).1.first() {
        Some(mark) if policy != Secrets::Allow => Err(Error::invalid(format!(
            "the name contains what looks like a secret ({}): choose another one",
            mark.what
        ))),
        _ => Ok(name),
    }
}

/// Lines and columns, counted once through the text.
fn spots(field: &str, clean: &str, marks: &[Mark]) -> Vec<Spot> {
    let (mut line, mut column, mut counted) = (1, 1, 0);
    let mut spots = Vec::with_capacity(marks.len());
    for mark in marks {
        for c in clean.get(counted..mark.at).unwrap_or_default().chars() {
            (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        counted = mark.at;
        spots.push(Spot { field: field.to_owned(), line, column });
    }
    spots
}
