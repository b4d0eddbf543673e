//! Store, schema, views and the whole pipeline against a real ClickHouse and a real Kafka.
//!
//! This binary is also the launcher of the servers, so it has its own `main`; it takes libtest's arguments.

#![allow(clippy::unwrap_used)]

#[path = "clickhouse/cluster.rs"]
mod cluster;
#[path = "clickhouse/effects.rs"]
mod effects;
#[path = "clickhouse/forwarder.rs"]
mod forwarder;
#[path = "clickhouse/noise.rs"]
mod noise;
#[path = "clickhouse/pipeline.rs"]
mod pipeline;
#[path = "clickhouse/running.rs"]
mod running;
#[path = "clickhouse/settle.rs"]
mod settle;
#[path = "clickhouse/stack.rs"]
mod stack;
mod support;
#[path = "clickhouse/views.rs"]
mod views;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use stack::Stack;

fn main() -> ExitCode {
    if let Some(code) = shadow_devstack::launcher_requested() {
        return code;
    }
    let arguments = Arguments::from_args();
    let stack = Stack::new();
    macro_rules! trials {
        ($($module:ident :: $name:ident),* $(,)?) => {
            vec![$({
                let stack = stack.clone();
                Trial::test(stringify!($name), move || { stack.run($module::$name); Ok(()) })
            }),*]
        };
    }
    let mut trials = trials![
        views::applying_the_schema_twice_changes_nothing,
        views::every_query_of_the_cookbook_gives_rows,
        views::storing_everything_again_changes_no_view,
        views::the_views_say_what_was_stored,
        views::a_hole_or_an_overlap_unbalances_the_ledger,
        views::an_empty_partition_balances_with_nothing_captured,
        views::rows_of_a_partition_without_a_watermark_unbalance_the_ledger,
        views::a_batch_may_span_more_days_than_clickhouse_takes_by_default,
        views::an_agent_that_died_shows_what_was_lost_with_it,
        views::what_is_stored_of_a_killed_agent_is_in_doubt_no_longer,
        views::inserting_is_the_only_right_the_store_needs,
        views::a_missing_table_is_explained_with_its_remedy,
        views::rows_are_kept_until_clickhouse_is_back,
        cluster::every_view_says_of_two_shards_what_it_says_of_one_server,
        views::a_database_of_the_version_before_is_brought_up_to_date_with_its_rows,
        noise::what_flaps_on_the_control_is_no_fault_and_what_only_the_candidate_shows_is,
        noise::flaps_that_the_control_did_not_see_stay_undecided,
        noise::a_profile_holds_until_it_expires_and_overruling_wins,
        noise::frozen_noise_holds_only_where_a_control_could_contradict_it,
        noise::a_status_is_never_noise_by_evidence,
        noise::an_exchange_is_noise_only_when_all_of_it_is,
        noise::a_driver_is_named_when_it_cannot_be_chance,
        noise::what_only_old_replays_show_is_named,
        effects::the_calls_of_an_exchange_stand_side_by_side,
        effects::a_call_belongs_to_the_send_that_decided,
        effects::what_the_primary_cannot_record_is_not_called_additional,
        effects::a_call_of_a_lone_request_is_its_own,
        effects::the_cookbook_names_who_pays_and_who_gets_mail_twice,
        effects::every_call_becomes_one_row_whatever_dies,
        pipeline::every_offset_is_covered_once_whatever_stands_in_the_topics,
        pipeline::a_launch_keeps_the_rules_it_began_with,
        pipeline::every_change_of_the_control_topic_is_written_down_once,
        pipeline::a_comparator_that_dies_again_and_again_leaves_no_hole_and_no_double,
        pipeline::clickhouse_away_midway_loses_nothing,
        settle::an_exchange_says_how_its_calls_compare,
        settle::dying_while_calls_settle_changes_no_row,
        settle::a_service_without_calls_waits_for_none,
        settle::a_stop_stores_what_has_no_calls_to_wait_for,
        settle::a_stop_waits_for_no_calls_and_loses_nothing,
    ];
    let by_hand = stack.clone();
    let exchanges = move || {
        by_hand.run(noise::what_each_view_takes_over_a_million_exchanges);
        Ok(())
    };
    let by_hand = stack.clone();
    let effects = move || {
        by_hand.run(effects::what_each_view_takes_over_a_million_effects);
        Ok(())
    };
    trials.push(Trial::test("what_each_view_takes_over_a_million_exchanges", exchanges).with_ignored_flag(true));
    trials.push(Trial::test("what_each_view_takes_over_a_million_effects", effects).with_ignored_flag(true));
    let by_hand = stack.clone();
    let catching_up = move || {
        by_hand.run(settle::what_catching_up_with_calls_takes);
        Ok(())
    };
    trials.push(Trial::test("what_catching_up_with_calls_takes", catching_up).with_ignored_flag(true));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(stack);
    conclusion.exit_code()
}
