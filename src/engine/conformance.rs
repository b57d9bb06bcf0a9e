//! The one list of laws that every engine must keep, as checks over any [`Engine`]: each wants a store of its own,
//! empty, and says in its error what did not hold. `engine_laws!` makes a test of each, by its name.

macro_rules! holds {
    ($law:expr, $($otherwise:tt)+) => {
        if !$law {
            return Err(Error::internal(format!($($otherwise)+)));
        }
    };
}

mod branch;
mod diffs;
mod feedback;
mod merges;
mod names;
mod plans;
mod reads;
pub mod samples;
mod vectors;
mod writes;

pub use self::diffs::*;
pub use self::feedback::*;
pub use self::merges::*;
pub use self::names::*;
pub use self::plans::*;
pub use self::reads::*;
pub use self::vectors::*;
pub use self::writes::*;

use self::samples::{ALL, apply};
use crate::clock;
use crate::engine::{At, Engine};
use crate::error::{Error, Result};
use crate::lexical;
use crate::model::{Change, Filter, Memory, Name, Outcome, Query, Revision, Verb, VersionId};

/// Every law by name, handed to a macro that takes the names.
#[macro_export]
macro_rules! engine_laws {
    ($each:ident) => {
        $each! {
            an_acknowledged_write_is_read_at_once_with_every_field,
            the_same_operation_id_applies_at_most_once,
            a_write_that_changes_nothing_is_remembered_too,
            a_failed_write_leaves_no_trace,
            a_commit_never_changes,
            a_branch_moves_only_by_compare_and_swap,
            concurrent_writers_make_one_linear_history,
            a_read_at_a_commit_is_repeatable,
            a_time_is_resolved_through_the_history_of_names,
            equal_text_in_one_place_is_one_memory,
            nothing_is_dropped_silently,
            an_expired_memory_is_in_no_answer,
            a_pinned_memory_is_found_by_its_pin,
            a_memory_keeps_its_id_and_history_through_corrections,
            ids_are_found_by_unique_prefixes,
            a_text_that_reads_like_a_number_is_a_text,
            a_commit_of_many_changes_is_a_commit_like_any_other,
            what_does_not_exist_is_said_to_be_missing,
            a_branch_begins_where_it_is_made_and_costs_no_commit,
            a_snapshot_never_moves,
            a_name_can_be_renamed_deleted_and_restored,
            a_protected_branch_takes_merges_only,
            a_safety_snapshot_stands_where_the_branch_stood,
            a_refused_name_takes_its_whole_write_with_it,
            a_write_on_a_branch_is_invisible_on_every_other,
            a_snapshot_reads_the_same_after_any_later_operation,
            a_diff_counts_everything_and_shows_a_page,
            an_applied_diff_reaches_its_target_and_its_inverse_undoes_it,
            one_sided_changes_merge_to_the_same_state_in_either_order,
            a_branch_merged_with_itself_is_itself,
            merging_twice_is_merging_once,
            fields_of_one_memory_merge_apart,
            criss_cross_merges_settle_what_all_bases_share,
            merging_again_after_a_reverted_merge_says_so,
            a_conflict_carries_all_three_sides_and_waits,
            a_resolution_holds_as_long_as_both_sides_do,
            an_aborted_merge_leaves_no_trace,
            a_rule_settles_every_conflict,
            a_picked_memory_brings_its_change_and_no_other,
            a_picked_commit_brings_what_it_changed,
            a_reset_reaches_its_state_and_cuts_no_history,
            rolling_back_one_agent_keeps_later_work_of_others_and_lists_it,
            rolling_back_an_origin_takes_only_its_versions,
            a_reverted_merge_takes_back_all_that_it_brought,
            an_undone_operation_can_be_done_again,
            a_plan_says_what_its_application_does,
            a_plan_of_many_changes_is_a_plan_like_any_other,
            an_erased_memory_never_comes_back,
            feedback_is_counted_once_and_makes_no_commit,
            feedback_on_what_is_not_there_takes_its_whole_write_with_it,
            what_was_said_of_a_memory_comes_with_it_and_counts_where_it_is_written,
            feedback_outlives_a_purge_and_goes_with_an_erasure,
            a_vector_is_found_on_every_branch_that_holds_its_version,
            pending_counts_what_a_branch_holds,
            an_erased_version_has_no_vector,
            a_filter_keeps_the_best_within_it,
            a_wrong_dimension_is_refused_and_nothing_kept,
            past_states_find_by_meaning,
            words_answer_for_what_has_no_vector_yet,
            models_never_meet,
        }
    };
}

async fn store(engine: &impl Engine, memory: &Memory) -> Result<VersionId> {
    match apply(engine, Verb::Store, vec![Change::Store(memory.clone())]).await?.outcomes[..] {
        [Outcome::Stored { id, version }] if id == memory.id => Ok(version),
        ref other => Err(Error::internal(format!("storing `{}` came to {other:?}", memory.text))),
    }
}

async fn head(engine: &impl Engine) -> Result<At> {
    engine.resolve(&Revision::Name(Name::main()), clock::now()).await
}

async fn texts(engine: &impl Engine, at: &At) -> Result<Vec<String>> {
    let listing = engine.page(at, &Filter::default(), ALL).await?;
    let mut texts: Vec<String> = listing.memories.into_iter().map(|version| version.memory.text).collect();
    texts.sort_unstable();
    Ok(texts)
}

fn query(question: &str) -> Query {
    Query { terms: lexical::terms_of_question(question), vector: None, filter: Filter::default(), limit: 10, around: 0 }
}

async fn verified(engine: &impl Engine) -> Result<()> {
    for check in engine.verify().await? {
        holds!(check.problems.is_empty(), "{} But: {}", check.promise, check.problems.join("; "));
    }
    Ok(())
}
