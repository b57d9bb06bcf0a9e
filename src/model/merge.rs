//! The three-way merge of one memory: pure, the same for every engine.
//!
//! It compares kind, text, trust, confidence, project, subject, expiry and pin as one value, and tags and metadata by
//! field; origin and times are not compared. What only one side changed applies, what both changed equally agrees, the
//! tags that either side added or removed are added or removed, so are the keys of metadata; the rest is a conflict.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::memory::Memory;

/// What becomes of one memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ours,
    Theirs,
    /// Fields of both.
    Both(Box<Memory>),
    Conflict,
}

/// `bases` are the memory in each best merge base; not live where `None`. Where the bases say different things, ours
/// and theirs must say the same, or it is a conflict.
pub fn merge(bases: &[Option<&Memory>], ours: Option<&Memory>, theirs: Option<&Memory>) -> Outcome {
    let base = bases.first().copied().flatten();
    if say_the_same(ours, theirs) {
        Outcome::Ours
    } else if bases.iter().any(|other| !say_the_same(*other, base)) {
        Outcome::Conflict
    } else if say_the_same(base, ours) {
        Outcome::Theirs
    } else if say_the_same(base, theirs) {
        Outcome::Ours
    } else {
        // Both changed it; a memory that went on one side has no fields to merge.
        ours.zip(theirs).and_then(|(ours, theirs)| by_field(base, ours, theirs)).unwrap_or(Outcome::Conflict)
    }
}

/// `None` is a conflict.
fn by_field(base: Option<&Memory>, ours: &Memory, theirs: &Memory) -> Option<Outcome> {
    let value = one_sided(base.map(value_of), value_of(ours), value_of(theirs))?;
    let winner = if value == value_of(ours) { ours } else { theirs };
    let merged = Memory {
        tags: tags(base.map(|base| &base.tags), &ours.tags, &theirs.tags),
        metadata: metadata(base.map_or("", |base| &base.metadata), &ours.metadata, &theirs.metadata)?,
        ..winner.clone()
    };
    Some(if merged.says_the_same(ours) {
        Outcome::Ours
    } else if merged.says_the_same(theirs) {
        Outcome::Theirs
    } else {
        Outcome::Both(Box::new(merged))
    })
}

fn say_the_same(a: Option<&Memory>, b: Option<&Memory>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.says_the_same(b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// What is compared as a whole: everything that is said, but for tags and metadata.
fn value_of(memory: &Memory) -> impl PartialEq {
    let Memory { kind, text, trust, confidence, project, subject, expires_at, pinned, .. } = memory;
    (kind, text, trust, confidence, project, subject, expires_at, pinned)
}

/// What both sides agree on, or what the one that changed it says; `None` where both changed it differently.
fn one_sided<T: PartialEq>(base: Option<T>, ours: T, theirs: T) -> Option<T> {
    if ours == theirs || base.as_ref() == Some(&theirs) {
        Some(ours)
    } else if base.as_ref() == Some(&ours) {
        Some(theirs)
    } else {
        None
    }
}

/// A tag stays where both have it, and comes where one of them added it.
fn tags(base: Option<&BTreeSet<String>>, ours: &BTreeSet<String>, theirs: &BTreeSet<String>) -> BTreeSet<String> {
    let is_new = |tag: &&String| base.is_none_or(|base| !base.contains(*tag));
    let either = ours.union(theirs);
    either.filter(|tag| is_new(tag) || (ours.contains(*tag) && theirs.contains(*tag))).cloned().collect()
}

/// By top-level key; a text that is no JSON object is compared as a whole. `None` is a conflict.
fn metadata(base: &str, ours: &str, theirs: &str) -> Option<String> {
    if let Some(text) = one_sided(Some(base), ours, theirs) {
        return Some(text.to_owned());
    }
    let (base, our_keys, their_keys) = (keys(base)?, keys(ours)?, keys(theirs)?);
    let mut merged = BTreeMap::new();
    for key in our_keys.keys().chain(their_keys.keys()) {
        if let Some(value) = one_sided(Some(base.get(key)), our_keys.get(key), their_keys.get(key))? {
            merged.insert(key.clone(), value.clone());
        }
    }
    // Where one side has it all already, its own text stays as it is.
    if merged == our_keys {
        Some(ours.to_owned())
    } else if merged == their_keys {
        Some(theirs.to_owned())
    } else if merged.is_empty() {
        Some(String::new())
    } else {
        serde_json::to_string(&merged).ok()
    }
}

fn keys(metadata: &str) -> Option<BTreeMap<String, Value>> {
    if metadata.is_empty() { Some(BTreeMap::new()) } else { serde_json::from_str(metadata).ok() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Confidence, Kind, MemoryId, Origin, Source, Time, Trust};

    fn memory(text: &str) -> Memory {
        let source = Source::User;
        Memory {
            id: MemoryId([7; 16]),
            kind: Kind::Semantic,
            text: text.to_owned(),
            tags: BTreeSet::new(),
            trust: Trust::T3,
            confidence: Confidence(650),
            project: None,
            session: None,
            subject: None,
            origin: Origin { source, agent: None, agent_version: None, session: None, tool: None, file: None },
            created_at: Time(0),
            observed_at: Time(0),
            expires_at: None,
            pinned: false,
            metadata: String::new(),
        }
    }

    /// Few texts, tags and keys, so that sides often meet in them.
    fn some_memory() -> impl Strategy<Value = Memory> {
        let metadata = prop_oneof![
            4 => proptest::collection::btree_map("[abc]", 0..3u8, 0..3).prop_map(|keys| match keys.len() {
                0 => String::new(),
                _ => serde_json::to_string(&keys).unwrap(),
            }),
            1 => Just("not an object".to_owned()),
        ];
        let tags = proptest::collection::btree_set("[xyz]", 0..3);
        ("[pq]", any::<bool>(), tags, metadata, 0..9i64).prop_map(|(text, pinned, tags, metadata, at)| {
            let observed_at = Time(at);
            Memory { pinned, tags, metadata, observed_at, ..memory(&text) }
        })
    }

    fn side() -> impl Strategy<Value = Option<Memory>> {
        proptest::option::weighted(0.9, some_memory())
    }

    fn bases() -> impl Strategy<Value = Vec<Option<Memory>>> {
        prop_oneof![3 => proptest::collection::vec(side(), 1), 1 => proptest::collection::vec(side(), 2..4)]
    }

    fn merged(bases: &[Option<Memory>], ours: &Option<Memory>, theirs: &Option<Memory>) -> Outcome {
        let bases: Vec<_> = bases.iter().map(Option::as_ref).collect();
        merge(&bases, ours.as_ref(), theirs.as_ref())
    }

    /// What the outcome leaves; the outer `None` is a conflict.
    fn result(outcome: Outcome, ours: &Option<Memory>, theirs: &Option<Memory>) -> Option<Option<Memory>> {
        match outcome {
            Outcome::Ours => Some(ours.clone()),
            Outcome::Theirs => Some(theirs.clone()),
            Outcome::Both(memory) => Some(Some(*memory)),
            Outcome::Conflict => None,
        }
    }

    fn have_equal_words(a: &Option<Option<Memory>>, b: &Option<Option<Memory>>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => say_the_same(a.as_ref(), b.as_ref()),
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    proptest! {
        #[test]
        fn what_one_side_changed_applies_whichever_side_it_is(base in side(), changed in side()) {
            let bases = [base.clone()];
            let there = result(merged(&bases, &base, &changed), &base, &changed);
            let back = result(merged(&bases, &changed, &base), &changed, &base);
            prop_assert!(have_equal_words(&there, &Some(changed)) && have_equal_words(&there, &back));
        }

        #[test]
        fn a_memory_merged_with_itself_is_itself(bases in bases(), memory in side()) {
            prop_assert_eq!(merged(&bases, &memory, &memory), Outcome::Ours);
        }

        #[test]
        fn what_both_changed_equally_agrees_whoever_wrote_it(bases in bases(), memory in some_memory()) {
            let later = Some(Memory { observed_at: Time(99), ..memory.clone() });
            prop_assert_eq!(merged(&bases, &Some(memory), &later), Outcome::Ours);
        }

        #[test]
        fn ours_and_theirs_can_change_places(bases in bases(), ours in side(), theirs in side()) {
            let there = result(merged(&bases, &ours, &theirs), &ours, &theirs);
            let back = result(merged(&bases, &theirs, &ours), &theirs, &ours);
            prop_assert!(have_equal_words(&there, &back), "{:?} is not {:?}", there, back);
        }

        #[test]
        fn the_order_of_bases_does_not_matter(bases in bases(), ours in side(), theirs in side()) {
            let backwards: Vec<_> = bases.iter().rev().cloned().collect();
            let there = result(merged(&bases, &ours, &theirs), &ours, &theirs);
            let back = result(merged(&backwards, &ours, &theirs), &ours, &theirs);
            prop_assert!(have_equal_words(&there, &back));
        }

        #[test]
        fn bases_that_differ_settle_nothing(ours in some_memory(), theirs in some_memory(), base in some_memory()) {
            prop_assume!(!ours.says_the_same(&theirs));
            prop_assert_eq!(merged(&[Some(base), None], &Some(ours), &Some(theirs)), Outcome::Conflict);
        }

        #[test]
        fn a_deletion_against_a_change_is_a_conflict(base in some_memory(), changed in some_memory()) {
            prop_assume!(!base.says_the_same(&changed));
            let (base, changed) = ([Some(base)], Some(changed));
            prop_assert_eq!(merged(&base, &None, &changed), Outcome::Conflict);
            prop_assert_eq!(merged(&base, &changed, &None), Outcome::Conflict);
            prop_assert_eq!(merged(&base, &None, &None), Outcome::Ours);
        }

        #[test]
        fn each_tag_goes_the_way_of_the_side_that_changed_it(
            base in some_memory(), ours in some_memory(), theirs in some_memory(),
        ) {
            let (our, their) = (Some(ours.clone()), Some(theirs.clone()));
            if let Some(Some(merged)) = result(merged(&[Some(base.clone())], &our, &their), &our, &their) {
                for tag in ["x", "y", "z"] {
                    let has = [&base, &ours, &theirs].map(|memory| memory.tags.contains(tag));
                    let wanted = if has[1] == has[0] { has[2] } else { has[1] };
                    prop_assert_eq!(merged.tags.contains(tag), wanted, "tag {}", tag);
                }
            }
        }
    }

    #[test]
    fn a_merged_memory_comes_from_where_its_text_comes_from() {
        let base = memory("port 80");
        let tagged = Memory { tags: ["web".to_owned()].into(), observed_at: Time(1), ..base.clone() };
        let corrected = Memory { observed_at: Time(2), ..memory("port 8080") };
        let expected = Box::new(Memory { tags: tagged.tags.clone(), ..corrected.clone() });
        for (ours, theirs) in [(&tagged, &corrected), (&corrected, &tagged)] {
            let merged = merge(&[Some(&base)], Some(ours), Some(theirs));
            assert_eq!(merged, Outcome::Both(expected.clone()));
        }
        let retagged = Memory { tags: ["tcp".to_owned()].into(), observed_at: Time(3), ..base.clone() };
        let Outcome::Both(both) = merge(&[Some(&base)], Some(&tagged), Some(&retagged)) else {
            panic!("tags alone are in conflict")
        };
        assert_eq!((both.observed_at, both.tags.len()), (Time(1), 2), "ours on a tie");
    }

    #[test]
    fn metadata_is_merged_by_key() {
        let cases = [
            (r#"{"a":1,"b":1}"#, r#"{"a":2,"b":1}"#, r#"{"a":1}"#, Some(r#"{"a":2}"#)),
            (r#"{"a":1}"#, r#"{"a":1,"b":[2]}"#, r#"{"a":1,"c":{"d":3}}"#, Some(r#"{"a":1,"b":[2],"c":{"d":3}}"#)),
            ("", r#"{ "a": 1 }"#, r#"{"b":2,"a":1}"#, Some(r#"{"b":2,"a":1}"#)),
            (r#"{"a":1,"b":1}"#, r#"{"a":1}"#, r#"{"b":1}"#, Some("")),
            (r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#, None),
            (r#"{"a":1}"#, r#"{"a":2}"#, "", None),
            ("one", "two", "two", Some("two")),
            ("one", "two", r#"{"a":1}"#, None),
        ];
        for (base, ours, theirs, expected) in cases {
            assert_eq!(metadata(base, ours, theirs).as_deref(), expected, "{ours} and {theirs} from {base}");
        }
    }

    #[test]
    fn a_pin_against_a_new_text_is_a_conflict() {
        let base = memory("tabs");
        let (ours, theirs) = (Memory { pinned: true, ..base.clone() }, memory("spaces"));
        assert_eq!(merge(&[Some(&base)], Some(&ours), Some(&theirs)), Outcome::Conflict);
    }
}
