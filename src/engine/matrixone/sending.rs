//! When what waits on this machine goes to the server: before anything else that is asked, so that no answer lacks what
//! was written here, and by itself as long as something waits. What waits, and where, is `offline.rs`'s.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::offline::Offline;
use super::store::Store;
use super::write::Order;
use super::{Waiting, ended, failed};
use crate::clock;
use crate::error::{Error, Result};
use crate::model::Applied;

/// Between two tries by itself: doubled from one to the other.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

impl Store {
    /// Serves orders in their turn: what waits goes first, and what cannot reach the server waits behind it, if it may.
    pub fn serve_in_turn(&self, orders: &[Order]) -> Vec<Result<Applied>> {
        let Some(queue) = &self.offline else { return self.serve(orders) };
        let answers = match self.send(queue) {
            Ok(()) => self.serve(orders),
            Err(error) => orders.iter().map(|_| Err(error.clone())).collect(),
        };
        let kept = |(order, answer): (&Order, Result<Applied>)| match answer {
            Err(why) => self.keep(order, why),
            applied => applied,
        };
        orders.iter().zip(answers).map(kept).collect()
    }

    /// Puts it behind what waits, if there is a queue and it may wait; else gives `why` back, with what is to be said.
    pub fn keep(&self, order: &Order, why: Error) -> Result<Applied> {
        let Some(queue) = &self.offline else { return Err(why) };
        let kept = queue.keep(order.op, &order.write, why, self.pool.settings().waiting_bytes_max);
        kept.map_err(|why| queue.explain(why))
    }

    /// Whether a write that cannot reach the server may wait.
    pub fn keeps_offline(&self) -> bool {
        self.offline.is_some() && self.pool.settings().waiting_bytes_max > 0
    }

    /// Sends what waits; `Ok` once nothing does.
    fn send(&self, queue: &Offline) -> Result<()> {
        let forget = |ops| self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).extend(ops);
        queue.send(|orders| self.together(orders), forget)
    }
}

impl Waiting {
    /// Whatever waits goes first. Of many who come at once while the server is away, one tries.
    pub async fn settled(&self, store: &Arc<Store>, places: &Semaphore) -> Result<()> {
        let Some(queue) = store.offline.clone().filter(|queue| queue.count() > 0) else { return Ok(()) };
        let asked = Instant::now();
        let _turn = self.turn.lock().await;
        if let Some(error) = queue.failure_since(asked) {
            return Err(queue.explain(error));
        }
        let _place = places.acquire().await.map_err(|_| ended())?;
        let (of, store) = (Arc::clone(&queue), Arc::clone(store));
        let sent = tokio::task::spawn_blocking(move || store.send(&of)).await.unwrap_or_else(|_| Err(failed()));
        sent.map_err(|error| queue.explain(error))
    }

    /// Tries by itself until nothing waits. One at a time; does nothing where nothing waits. Ends with the store.
    pub fn keep_sending(self: &Arc<Self>, store: &Arc<Store>, places: &Arc<Semaphore>) {
        let waits = store.offline.as_ref().is_some_and(|queue| queue.count() > 0);
        if !waits || self.is_sending.swap(true, Ordering::AcqRel) {
            return;
        }
        let (this, store, places) = (Arc::clone(self), Arc::downgrade(store), Arc::clone(places));
        tokio::spawn(async move {
            let mut pause = PAUSE_MIN;
            while this.has_more_to_send(&store, &places, pause).await {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        });
    }

    /// Tries once. Whether something is left to be sent, and somebody to send it: then it is said when.
    async fn has_more_to_send(&self, store: &Weak<Store>, places: &Semaphore, pause: Duration) -> bool {
        let Some(store) = store.upgrade() else { return false };
        let Some(queue) = &store.offline else { return false };
        // Said before the try as well: who asks while it hangs is told a time that is not long past.
        let next = || queue.retry_at(Some(clock::now().plus_ms(pause.as_millis() as i64)));
        next();
        if self.settled(&store, places).await.is_err() {
            next();
            return true;
        }
        queue.retry_at(None);
        self.is_sending.store(false, Ordering::Release);
        // Whoever wrote just now found somebody sending.
        queue.count() > 0 && !self.is_sending.swap(true, Ordering::AcqRel)
    }
}
