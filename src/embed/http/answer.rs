//! What is asked of an endpoint, and what of its answer is believed: the right count, in the right order, numbers that
//! are numbers, the dimensions that were agreed on. Whatever is not, is refused in words.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::DIMS_MAX;

/// Bytes of a number in JSON, with its comma, where a host writes out every digit.
const NUMBER_BYTES_MAX: u64 = 32;
/// Bytes of an answer beside its vectors.
const ROOM_BYTES: u64 = 64 * 1024;
/// Characters that are shown of what a host says.
const SHOWN_MAX: usize = 200;
/// Characters of a text by which it is known when a host repeats it.
const ECHO_CHARS: usize = 12;

/// One request.
pub struct Asked<'a> {
    pub model: &'a str,
    pub inputs: &'a [String],
    /// Sent; `None` leaves it to the model.
    pub asked_dims: Option<u16>,
    /// Expected; `None` takes what comes.
    pub dims: Option<u16>,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u16>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    embedding: Vec<f32>,
    index: Option<usize>,
}

impl Asked<'_> {
    /// As JSON.
    ///
    /// # Errors
    /// `Internal`, never for a text.
    pub fn body(&self) -> Result<Vec<u8>> {
        let body = Body { model: self.model, input: self.inputs, dimensions: self.asked_dims };
        serde_json::to_vec(&body).map_err(|e| Error::internal(format!("a request for vectors cannot be written: {e}")))
    }

    /// More than this is not read.
    pub fn reply_bytes_max(&self) -> u64 {
        let dims = u64::from(self.dims.unwrap_or(DIMS_MAX));
        ROOM_BYTES + self.inputs.len() as u64 * (dims * NUMBER_BYTES_MAX + 256)
    }

    /// One vector of unit length for each text, in the order of the texts.
    ///
    /// # Errors
    /// What is wrong with it, in words that follow "sent no usable vectors: ".
    pub fn vectors(&self, sent: &[u8]) -> Result<Vec<Vec<f32>>, String> {
        // Its own message could quote what was sent.
        let answer: Answer = serde_json::from_slice(sent).map_err(|e| match e.is_data() {
            true => format!("its JSON is not a list of embeddings (line {}, column {})", e.line(), e.column()),
            false => "its answer is not JSON".to_owned(),
        })?;
        if answer.data.len() != self.inputs.len() {
            return Err(format!("{} came for {} texts", answer.data.len(), self.inputs.len()));
        }
        let mut vectors = vec![Vec::new(); self.inputs.len()];
        for (place, item) in answer.data.into_iter().enumerate() {
            let place = item.index.unwrap_or(place);
            let expected = self.dims.map_or(item.embedding.len(), usize::from);
            if item.embedding.len() != expected {
                return Err(format!("one has {} dimensions instead of {expected}", item.embedding.len()));
            }
            if item.embedding.is_empty() {
                return Err("one is empty".to_owned());
            }
            match vectors.get_mut(place) {
                Some(vector) if vector.is_empty() => *vector = unit(item.embedding)?,
                Some(_) => return Err(format!("number {place} came twice")),
                None => return Err(format!("number {place} came for {} texts", self.inputs.len())),
            }
        }
        Ok(vectors)
    }

    /// What a host says when it refuses, without the key, and without our texts if it repeats them.
    pub fn refusal(&self, status: u16, sent: &[u8], key: Option<&str>) -> String {
        let json: Option<serde_json::Value> = serde_json::from_slice(sent).ok();
        let said = json.as_ref().and_then(|json| {
            ["/error/message", "/error", "/message", "/detail"].iter().find_map(|at| json.pointer(at)?.as_str())
        });
        let said = said.unwrap_or_default();
        let repeats = |input: &String| {
            let head: String = input.chars().take(ECHO_CHARS).collect();
            !head.trim().is_empty() && said.contains(&head)
        };
        let holds_key = key.is_some_and(|key| said.contains(key));
        if said.is_empty() || holds_key || self.inputs.iter().any(repeats) {
            return format!("status {status}");
        }
        let shown: String = said.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect();
        format!("status {status}, {shown}")
    }
}

/// Of length one; a vector of zeros stays one.
fn unit(mut vector: Vec<f32>) -> Result<Vec<f32>, String> {
    let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if !length.is_finite() {
        return Err("one holds numbers that are none (infinite, or not a number)".to_owned());
    }
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
    Ok(vector)
}
