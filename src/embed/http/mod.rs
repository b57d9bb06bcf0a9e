//! Vectors from an OpenAI-compatible endpoint: which ones there are, in which order they are tried, how long. Texts
//! leave the machine here and nowhere else, and only where the settings name an address.
//!
//! `client` sends one request over a `pipe` to an `address` and reads the `reply`; `endpoint` knows whether one of them
//! works; `answer` says what may be believed of what it sends.

mod address;
mod answer;
pub mod client;
mod endpoint;
mod key;
mod pipe;
mod reply;

pub use reply::Reply;

use std::time::{Duration, Instant};

use self::address::Address;
use self::endpoint::{Endpoint, Failure};
use self::key::Key;
use super::{Embedder, Side, calibrate, name};
use crate::config;
use crate::error::{Error, Result};
use crate::model::{Calibration, DIMS_MAX, Space};

/// Texts in one request: what common servers take by default.
const BATCH_TEXTS: usize = 32;
/// Tries of each endpoint for memories, which have time.
const ROUNDS: u32 = 3;
/// Before the second round; four times as long before the third.
const PAUSE: Duration = Duration::from_millis(250);
/// A host that asks to be left alone for longer than this is left alone by this call.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// One model behind one or more addresses.
pub struct Http {
    space: Space,
    endpoints: Vec<Endpoint>,
    /// Its name there.
    model: String,
    key: Key,
    /// Sent as `dimensions`; `None` leaves it to the model.
    asked_dims: Option<u16>,
    prefixes: [String; 2],
    calibration: Calibration,
}

impl Http {
    /// Looks at the settings and asks the endpoint, which blocks: for its dimensions, where the settings do not say how
    /// many there are, and for how its cosines are read.
    ///
    /// # Errors
    /// `Invalid` where a setting is missing or cannot be used, `Denied` for a key that would travel in the clear, or
    /// what the endpoint fails with: `Unavailable` is worth another try later.
    pub fn open(settings: &config::Embedding) -> Result<Self> {
        let model = settings.http_model.trim().to_owned();
        if model.is_empty() {
            return Err(Error::invalid(
                "embedding.http_model is empty: set it to the name that the endpoint knows its model by",
            ));
        }
        let key = Key::of(settings)?;
        let timeout = Duration::from_millis(settings.http_timeout_ms.into());
        let urls = settings.http_urls.split(',').map(str::trim).filter(|url| !url.is_empty());
        let endpoints: Vec<_> =
            urls.map(|url| Ok(Endpoint::new(address(url, &key)?, timeout))).collect::<Result<_>>()?;
        let Some(first) = endpoints.first() else {
            return Err(Error::invalid(
                "embedding.http_urls is empty: set it to the endpoint's address, such as http://localhost:11434/v1",
            ));
        };
        let asked_dims = u16::try_from(settings.dims).ok().filter(|dims| *dims > 0);
        let prefixes = [settings.question_prefix.clone(), settings.passage_prefix.clone()];
        let host = first.address.authority();
        let mut http = Self {
            space: space(&host, &model, asked_dims.unwrap_or(1), &prefixes)?,
            endpoints,
            model,
            key,
            asked_dims,
            prefixes,
            calibration: calibrate::UNKNOWN,
        };
        if asked_dims.is_none() {
            let vectors = http.ask(Side::Question, &["How many dimensions does a vector have?"], None)?;
            let dims = vectors.first().map_or(0, Vec::len);
            let dims = u16::try_from(dims).ok().filter(|dims| (1..=DIMS_MAX).contains(dims)).ok_or_else(|| {
                Error::invalid(format!("{host} makes vectors of {dims} dimensions; up to {DIMS_MAX} can be used"))
            })?;
            http.space = space(&host, &http.model, dims, &http.prefixes)?;
        }
        http.calibration = calibrate::measured(|side, texts| http.embed(side, texts))?;
        Ok(http)
    }

    /// One request, from whichever endpoint answers first in their order.
    fn ask(&self, side: Side, texts: &[&str], dims: Option<u16>) -> Result<Vec<Vec<f32>>> {
        let prefix = &self.prefixes[side as usize];
        let inputs: Vec<String> = texts.iter().map(|text| format!("{prefix}{text}")).collect();
        let key = self.key.read()?;
        let asked = answer::Asked { model: &self.model, inputs: &inputs, asked_dims: self.asked_dims, dims };
        let body = asked.body()?;
        // A question is waited for: it is not worth a pause.
        let rounds = if side == Side::Question { 1 } else { ROUNDS };
        let mut pause = PAUSE;
        let mut why = Error::unavailable("no endpoint was asked");
        for round in 0..rounds {
            let mut again = None;
            for endpoint in &self.endpoints {
                match endpoint.ask(&asked, &body, key.as_deref(), Instant::now()) {
                    Ok(vectors) => return Ok(vectors),
                    Err(Failure::Resting(error)) => why = error,
                    Err(Failure::ForNow { error, wait }) => {
                        let wait = wait.unwrap_or(pause);
                        again = Some(again.map_or(wait, |known: Duration| known.min(wait)));
                        why = error;
                    }
                    // Of the request, or of the settings: the next endpoint may know better, a pause will not.
                    Err(Failure::ForGood(error)) => why = error,
                }
            }
            match again.filter(|wait| *wait <= PAUSE_MAX && round + 1 < rounds) {
                Some(wait) => std::thread::sleep(wait),
                None => break,
            }
            pause *= 4;
        }
        Err(why)
    }
}

fn space(host: &str, model: &str, dims: u16, prefixes: &[String; 2]) -> Result<Space> {
    let [question, passage] = prefixes;
    Ok(Space { model: name::id(&format!("http:{host}/{model}/{dims}"), &[question, passage])?, dims })
}

/// Where vectors are asked for; a key goes nowhere in the clear.
fn address(url: &str, key: &Key) -> Result<Address> {
    let base = url.trim_end_matches('/');
    let full = if base.ends_with("/embeddings") { base.to_owned() } else { format!("{base}/embeddings") };
    let address: Address = full.parse().map_err(|e: Error| Error::invalid(format!("embedding.http_urls: {e}")))?;
    if *key != Key::None && !address.is_secure() && !address.is_loopback() {
        return Err(Error::denied(format!(
            "a key is set and {} is not encrypted, so everybody on the way could read the key: use https, or take \
             the key out of the settings",
            address.origin()
        )));
    }
    Ok(address)
}

impl Embedder for Http {
    fn space(&self) -> &Space {
        &self.space
    }

    fn calibration(&self) -> Calibration {
        self.calibration
    }

    fn embed(&self, side: Side, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let batches = texts.chunks(BATCH_TEXTS).map(|batch| self.ask(side, batch, Some(self.space.dims)));
        Ok(batches.collect::<Result<Vec<_>>>()?.concat())
    }

    fn describe(&self) -> String {
        let endpoints: Vec<_> = self.endpoints.iter().map(|endpoint| endpoint.describe(Instant::now())).collect();
        format!("{} at {}; {}", self.model, endpoints.join(", "), self.key.describe())
    }
}
