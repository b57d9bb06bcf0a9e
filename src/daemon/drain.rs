//! Going down in good order: who is still working, and that nobody begins any more.
//! It ends no request; how long it waits is the caller's to say.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Why the daemon goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// SIGTERM, SIGINT or Ctrl-C.
    Signal,
    /// A client asked.
    Asked,
    /// A newer version takes over.
    HandOver,
    /// An agent started it, and nobody has needed it for long.
    Idle,
    /// Clients cannot find the socket any more.
    Lost,
}

#[derive(Default)]
struct State {
    why: Option<Why>,
    working: usize,
    is_over: bool,
}

/// Shared by all sessions.
#[derive(Default)]
pub struct Drain {
    state: Mutex<State>,
    changed: Notify,
}

/// One request in flight.
pub struct Ticket(Arc<Drain>);

impl Drain {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing begins. The first reason counts.
    pub fn begin(&self, why: Why) {
        self.lock().why.get_or_insert(why);
        self.changed.notify_waiters();
    }

    /// Begins a request; `None` when the daemon is going.
    pub fn enter(self: &Arc<Self>) -> Option<Ticket> {
        let mut state = self.lock();
        if state.why.is_some() {
            return None;
        }
        state.working += 1;
        Some(Ticket(Arc::clone(self)))
    }

    /// Sessions end now, whatever they were doing.
    pub fn finish(&self) {
        self.lock().is_over = true;
        self.changed.notify_waiters();
    }

    /// Why, as soon as there is a reason.
    pub async fn begun(&self) -> Why {
        self.when(|state| state.why).await
    }

    /// Nothing is in flight.
    pub async fn is_quiet(&self) {
        self.when(|state| (state.working == 0).then_some(())).await;
    }

    /// Sessions are to end.
    pub async fn is_over(&self) {
        self.when(|state| state.is_over.then_some(())).await;
    }

    async fn when<T>(&self, holds: impl Fn(&State) -> Option<T>) -> T {
        loop {
            // Enlisted before looking, so that no change falls in between.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = holds(&self.lock()) {
                return found;
            }
            changed.await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.lock().working -= 1;
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_begun_is_waited_for_and_nothing_else_begins() {
        let drain = Arc::new(Drain::default());
        let ticket = drain.enter().unwrap();
        drain.begin(Why::Asked);
        drain.begin(Why::Signal);
        assert_eq!(drain.begun().await, Why::Asked);
        assert!(drain.enter().is_none());
        let waiting = tokio::spawn({
            let drain = Arc::clone(&drain);
            async move { drain.is_quiet().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(ticket);
        waiting.await.unwrap();
    }
}
