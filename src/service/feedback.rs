//! `feedback`: how a memory served. It is counted with the memory's id, moves no branch, and settles near-ties.

use super::{Caller, Service};
use crate::clock;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::{Feedback, Rating, Verb};
use crate::wire::message::{Rate, Rated};

impl<E: Engine> Service<E> {
    /// Durable once it returns `Ok`; the same operation again counts once. What was purged can still be rated.
    pub async fn rate(&self, caller: &Caller, ask: Rate) -> Result<Rated> {
        let (id, signal) = (self.engine.find(&ask.id).await?, ask.signal);
        let at = clock::now();
        let mut write = self.write(caller, self.branch(caller, None), Verb::Store, at);
        write.ratings = vec![Rating { id, said: Feedback::word(signal, at) }];
        let applied = self.engine.apply(caller.op, write).await?;
        if applied.commit.is_some() {
            return Err(Error::conflict("this operation id belongs to another kind of request"));
        }
        let feedback = self.engine.feedback(&[id]).await?.pop().unwrap_or_default();
        let short_len = self.engine.short_lens(&[id]).await?.pop().unwrap_or(u8::MAX);
        Ok(Rated { id, short_len, signal, feedback })
    }
}
