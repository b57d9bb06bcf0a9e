//! Small sets of numbers as rising lists: how many two of them share, in one pass without a branch to guess.

/// How many numbers are in both; each list rises.
pub fn shared(ours: &[u64], theirs: &[u64]) -> usize {
    let (mut ours_at, mut theirs_at, mut shared) = (0, 0, 0);
    while let (Some(a), Some(b)) = (ours.get(ours_at), theirs.get(theirs_at)) {
        shared += usize::from(a == b);
        ours_at += usize::from(a <= b);
        theirs_at += usize::from(b <= a);
    }
    shared
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shared_is_the_size_of_the_intersection(
            ours in prop::collection::btree_set(0u64..60, 0..40),
            theirs in prop::collection::btree_set(0u64..60, 0..40),
        ) {
            let list = |set: &BTreeSet<u64>| set.iter().copied().collect::<Vec<u64>>();
            prop_assert_eq!(shared(&list(&ours), &list(&theirs)), ours.intersection(&theirs).count());
        }
    }
}
