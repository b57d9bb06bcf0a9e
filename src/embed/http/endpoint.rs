//! One address that makes vectors, and whether it works: after some failures in a row it is left alone for a while,
//! then one request may try, and its outcome decides for the others.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::address::Address;
use super::answer::Asked;
use super::client::{self, Patience};
use crate::error::{Error, Result};

/// Failures in a row after which an endpoint rests.
const FAILURES_MAX: u32 = 3;
/// The first rest; each further one is twice as long.
const REST: Duration = Duration::from_secs(5);
const REST_MAX: Duration = Duration::from_secs(300);

/// An endpoint and its circuit breaker.
pub struct Endpoint {
    /// With `/embeddings`.
    pub address: Address,
    timeout: Duration,
    circuit: Mutex<Circuit>,
}

/// Failures since it last worked.
#[derive(Default)]
struct Circuit {
    failures: u32,
    /// Until then nobody asks.
    rests_until: Option<Instant>,
    /// Somebody is trying whether it works again.
    is_tried: bool,
    why: String,
}

/// Why there are no vectors.
pub enum Failure {
    /// It was not asked.
    Resting(Error),
    /// Another try may go through, after so long where it said.
    ForNow { error: Error, wait: Option<Duration> },
    /// The same request will fail again.
    ForGood(Error),
}

impl Endpoint {
    /// `timeout` is for one try.
    pub fn new(address: Address, timeout: Duration) -> Self {
        Self { address, timeout, circuit: Mutex::default() }
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one request, where it is not resting.
    pub fn ask(
        &self,
        asked: &Asked<'_>,
        body: &[u8],
        key: Option<&str>,
        now: Instant,
    ) -> Result<Vec<Vec<f32>>, Failure> {
        self.enter(now).map_err(Failure::Resting)?;
        let outcome = self.exchange(asked, body, key);
        let mut circuit = self.circuit();
        circuit.is_tried = false;
        match &outcome {
            Ok(_) => *circuit = Circuit::default(),
            Err(Answered::Refused(_)) => {}
            Err(Answered::Broken(error) | Answered::Busy(error, _)) => {
                circuit.failures += 1;
                circuit.why.clone_from(&error.message);
                if circuit.failures >= FAILURES_MAX {
                    let doubled = REST * 2u32.saturating_pow((circuit.failures - FAILURES_MAX).min(10));
                    circuit.rests_until = Some(Instant::now() + doubled.min(REST_MAX));
                }
            }
        }
        outcome.map_err(|failure| match failure {
            Answered::Refused(error) => Failure::ForGood(error),
            Answered::Broken(error) if !error.is_retryable() => Failure::ForGood(error),
            Answered::Broken(error) => Failure::ForNow { error, wait: None },
            Answered::Busy(error, wait) => Failure::ForNow { error, wait },
        })
    }

    fn enter(&self, now: Instant) -> Result<()> {
        let mut circuit = self.circuit();
        let Some(until) = circuit.rests_until else { return Ok(()) };
        if now < until || circuit.is_tried {
            return Err(Error::unavailable(format!(
                "{} is left alone after {} failures, for another {} s. The last was: {}",
                self.address.origin(),
                circuit.failures,
                until.saturating_duration_since(now).as_secs() + 1,
                circuit.why
            )));
        }
        circuit.is_tried = true;
        Ok(())
    }

    fn exchange(&self, asked: &Asked<'_>, body: &[u8], key: Option<&str>) -> Result<Vec<Vec<f32>>, Answered> {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let mut headers = vec![("Content-Type", "application/json"), ("Accept", "application/json")];
        headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
        let url = format!("{}{}", self.address.origin(), self.address.path);
        let broken = |why: String| Answered::Broken(Error::unavailable(format!("{} {why}", self.address)));
        let mut reply = client::post(&url, &headers, body, Patience::of(self.timeout)).map_err(Answered::Broken)?;
        let bytes_max = asked.reply_bytes_max();
        let sent = reply.body(bytes_max).map_err(|e| broken(format!("did not answer in full: {e}")))?;
        if reply.status == 200 {
            return asked.vectors(&sent).map_err(|why| broken(format!("sent no usable vectors: {why}")));
        }
        let said = format!("{} refuses: {}", self.address, asked.refusal(reply.status, &sent, key));
        match reply.status {
            429 | 503 => {
                let wait = reply.header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
                Err(Answered::Busy(Error::unavailable(said), wait))
            }
            408 | 425 | 500.. => Err(Answered::Broken(Error::unavailable(said))),
            300..400 => Err(Answered::Broken(Error::invalid(format!(
                "{} sends us elsewhere (status {}), where neither texts nor the key are sent: set the final address",
                self.address, reply.status
            )))),
            // Of the texts, not of the endpoint.
            400 | 413 | 422 => Err(Answered::Refused(Error::invalid(said))),
            _ => Err(Answered::Broken(Error::invalid(said))),
        }
    }

    /// Its address, and whether it works.
    pub fn describe(&self, now: Instant) -> String {
        let circuit = self.circuit();
        let state = match (circuit.rests_until, circuit.failures) {
            (_, 0) => String::new(),
            (Some(until), failures) if now < until => format!(
                " (resting for {} s after {failures} failures: {})",
                until.saturating_duration_since(now).as_secs() + 1,
                circuit.why
            ),
            (_, failures) => format!(" (failed {failures} times: {})", circuit.why),
        };
        format!("{}{state}", self.address.origin())
    }
}

/// What is wrong, for the breaker.
enum Answered {
    /// This request is not taken; another may be.
    Refused(Error),
    /// The endpoint does not work.
    Broken(Error),
    /// It works and says when to come again.
    Busy(Error, Option<Duration>),
}
