//! The one relocation of the store that may be under way: it goes on while somebody asks about it, rests when nobody
//! does, and others' writes wait for it. What is done to the store is `service/relocate.rs`'s.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::wire::message::{EngineName, Relocated, RelocationStage, Request};

/// Without a question for so long, whoever wanted it has gone: it rests, and others may write.
const ASKED_WITHIN: Duration = Duration::from_secs(15);
/// How long a question waits for news.
const NEWS_WITHIN: Duration = Duration::from_millis(400);

/// What is under way, if anything.
#[derive(Default)]
pub struct Relocation(Mutex<Option<Arc<Underway>>>);

/// One of them, shared with the task that does it.
pub struct Underway {
    to: EngineName,
    asked: Mutex<Instant>,
    news: watch::Sender<Result<Relocated>>,
}

impl Underway {
    fn asked(&self) -> MutexGuard<'_, Instant> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The news, and whether somebody still wants to hear them.
    pub fn tell(&self, news: Relocated) -> Result<()> {
        drop(self.news.send_replace(Ok(news)));
        if self.asked().elapsed() < ASKED_WITHIN {
            return Ok(());
        }
        Err(Error::cancelled("nobody asked about the move for a while: it rests, and `memoria move` goes on with it"))
    }

    /// The last news.
    pub fn end(&self, news: Result<Relocated>) {
        if let Err(error) = &news {
            tracing::warn!("the move to {} rests: {error}", self.to.as_str());
        }
        drop(self.news.send_replace(news));
    }

    /// Somebody may be waiting for its end.
    fn is_wanted(&self) -> bool {
        !self.is_over() || self.asked().elapsed() < ASKED_WITHIN
    }

    fn is_over(&self) -> bool {
        match &*self.news.borrow() {
            Ok(news) => matches!(news.stage, RelocationStage::Done | RelocationStage::Abandoned),
            Err(_) => true,
        }
    }
}

impl Relocation {
    /// How far it is; `begin` does it, on a task of its own, where it is not under way.
    pub async fn go(&self, to: EngineName, begin: impl FnOnce(Arc<Underway>)) -> Result<Relocated> {
        let underway = {
            let mut known = self.known();
            match known.as_ref() {
                Some(underway) if underway.to == to && underway.is_wanted() => Arc::clone(underway),
                Some(underway) if !underway.is_over() => {
                    return Err(Error::conflict("the store is being moved elsewhere: wait for that to end"));
                }
                _ => {
                    let news = watch::Sender::new(Ok(Relocated::of(RelocationStage::Copying, 0, 0.0)));
                    let underway = Arc::new(Underway { to, asked: Mutex::new(Instant::now()), news });
                    begin(Arc::clone(&underway));
                    Arc::clone(known.insert(underway))
                }
            }
        };
        *underway.asked() = Instant::now();
        let mut news = underway.news.subscribe();
        if !underway.is_over() {
            let _ = tokio::time::timeout(NEWS_WITHIN, news.changed()).await;
        }
        let told = news.borrow().clone();
        // What failed is told once; the next question begins anew, where it was.
        if told.is_err() {
            self.known().take_if(|known| Arc::ptr_eq(known, &underway));
        }
        told
    }

    /// Nothing is under way now, and nothing begins before `then` is done.
    pub fn stop(&self) -> Result<()> {
        let mut known = self.known();
        if known.as_ref().is_some_and(|underway| !underway.is_over()) {
            return Err(Error::unavailable(
                "the store is being moved at this moment: stop that command, and try again in a moment",
            ));
        }
        *known = None;
        Ok(())
    }

    /// Why this request cannot be served now, if it would write.
    pub fn refusal(&self, request: &Request) -> Result<()> {
        let known = self.known();
        let Some(underway) = known.as_ref().filter(|underway| underway.asked().elapsed() < ASKED_WITHIN) else {
            return Ok(());
        };
        let Ok(news) = *underway.news.borrow() else { return Ok(()) };
        if !request.writes() {
            return Ok(());
        }
        let how_far = match news.stage {
            RelocationStage::Abandoned => return Ok(()),
            RelocationStage::Done => "is done, and the settings are to be changed".to_owned(),
            _ => format!("is under way ({:.0} %)", news.share * 100.0),
        };
        Err(Error::unavailable(format!(
            "a move of the store to {} {how_far}: nothing is written meanwhile. Try again when it is over",
            underway.to.as_str()
        )))
    }

    fn known(&self) -> MutexGuard<'_, Option<Arc<Underway>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
