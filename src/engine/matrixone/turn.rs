//! Who goes next of the writes that wait here. Each transaction holds the row that every writer of every machine takes
//! first, so a long write goes alone: who waits behind an import waits for one of its batches, not for all of them.

use super::write::Order;

/// Writes in one transaction: a caller's answer waits for all of it.
const BATCH_WRITES_MAX: usize = 64;

/// Takes what goes into one transaction: a long write alone, or short ones together. After a long one those that are
/// short go first, but nobody passes a write of the same author, who may have meant that order.
pub fn take<T>(waiting: &mut Vec<(Order, T)>, after_long: bool) -> Vec<(Order, T)> {
    let is_long_first = waiting.first().is_some_and(|(order, _)| order.is_long());
    if is_long_first && !after_long {
        return vec![waiting.remove(0)];
    }
    let (mut taken, mut left) = (Vec::new(), Vec::with_capacity(waiting.len()));
    for (order, answer) in waiting.drain(..) {
        let is_full = taken.len() == BATCH_WRITES_MAX;
        let waits = order.is_long() || is_full || left.iter().any(|(before, _)| is_of_one(before, &order));
        if waits { &mut left } else { &mut taken }.push((order, answer));
    }
    if taken.is_empty() && !left.is_empty() {
        taken.push(left.remove(0));
    }
    *waiting = left;
    taken
}

fn is_of_one(one: &Order, other: &Order) -> bool {
    let (one, other) = (&one.write.author, &other.write.author);
    one.session == other.session && one.project == other.project
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::conformance::samples::{memory, op, write};
    use crate::engine::matrixone::write::SHORT_CHANGES_MAX;
    use crate::model::{Change, SessionId, Verb, Work};

    /// A write of this session.
    fn order(session: &str, is_long: bool) -> Order {
        let mut write = write(Verb::Store, vec![]).unwrap();
        write.author.session = SessionId::new(session).unwrap();
        let changes = if is_long { SHORT_CHANGES_MAX + 1 } else { 1 };
        write.work = Work::Changes((0..changes).map(|_| Change::Store(memory("a"))).collect());
        Order { op: op(), write }
    }

    /// In which transactions these writes go, by where they stood. Each is its session and whether it is long.
    fn turns(writes: &[(&str, bool)]) -> Vec<Vec<usize>> {
        let waits = |(at, (session, is_long)): (usize, &(&str, bool))| (order(session, *is_long), at);
        let mut waiting: Vec<_> = writes.iter().enumerate().map(waits).collect();
        let (mut turns, mut after_long) = (Vec::new(), false);
        while !waiting.is_empty() {
            let taken = take(&mut waiting, after_long);
            after_long = taken[0].0.is_long();
            turns.push(taken.into_iter().map(|(_, at)| at).collect());
        }
        turns
    }

    #[test]
    fn short_writes_go_together_and_a_long_one_alone() {
        assert_eq!(turns(&[("a", false), ("b", false), ("c", true), ("d", true)]), [vec![0, 1], vec![2], vec![3]]);
    }

    #[test]
    fn a_short_write_waits_for_one_batch_of_an_import_and_not_for_all() {
        let writes = [("import", true), ("import", true), ("import", true), ("agent", false), ("other", false)];
        assert_eq!(turns(&writes), [vec![0], vec![3, 4], vec![1], vec![2]]);
    }

    #[test]
    fn nobody_passes_a_write_of_their_own() {
        let writes = [("a", true), ("a", true), ("a", false), ("b", false), ("b", true), ("b", false)];
        assert_eq!(turns(&writes), [vec![0], vec![3], vec![1], vec![2], vec![4], vec![5]]);
    }

    #[test]
    fn long_writes_come_to_their_turn_however_many_short_ones_come() {
        let mut waiting = vec![(order("import", true), ())];
        take(&mut waiting, true);
        assert!(waiting.is_empty(), "nobody else is there");
        waiting.extend([(order("import", true), ()), (order("agent", false), ())]);
        assert!(!take(&mut waiting, true)[0].0.is_long());
        waiting.push((order("agent", false), ()));
        assert!(take(&mut waiting, false)[0].0.is_long());
    }

    #[test]
    fn more_than_a_transaction_takes_stay_in_order() {
        let all: Vec<_> = (0..BATCH_WRITES_MAX + 6).map(|_| ("a", false)).collect();
        let turns = turns(&all);
        assert_eq!(turns.concat(), (0..all.len()).collect::<Vec<_>>());
        assert_eq!(turns[0].len(), BATCH_WRITES_MAX);
    }
}
