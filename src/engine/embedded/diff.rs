//! What differs between two states: which memories come, go and change, as sets of local numbers first, and by id
//! only for what is shown.

use super::store::Store;
use crate::engine::At;
use crate::error::{Error, Result};
use crate::model::{Diff, Filter, Page};

impl Store {
    pub(super) fn diff(&self, from: &At, to: &At, filter: &Filter, page: Page) -> Result<Diff> {
        let _ = (from, to, filter, page);
        Err(Error::internal("states are not compared yet"))
    }
}
