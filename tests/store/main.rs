//! The store on both databases: every test here runs on SQLite in a temporary file and on a private
//! MariaDB.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

#[path = "../support/mariadb.rs"]
mod mariadb;

mod base;
mod fixtures;

mod accepting;
mod access;
mod alerting;
mod auditing;
mod breakers;
mod busiest;
mod claiming;
mod dead_letters;
mod deciding;
mod directory;
mod faults;
mod forgetting;
mod forwarding;
mod ids;
mod limits;
mod notifying;
mod refunding;
mod reversing;
mod schema;
mod sinks;
mod sweeping;
mod validating;

/// Makes a test of each function on each database.
macro_rules! on_both {
    ($($module:ident: $($name:ident),+;)+) => {
        mod on_sqlite {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::$module::$name(&crate::base::Base::sqlite()).await;
                })+
            })+
        }
        mod on_mariadb {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::$module::$name(&crate::base::Base::mariadb().await).await;
                })+
            })+
        }
    };
}

on_both! {
    schema:
        migrating_twice_is_migrating_once,
        four_processes_migrate_at_once,
        a_newer_schema_is_worked_on_and_not_migrated,
        settings_that_cannot_work_are_refused;
    accepting:
        the_same_again_is_a_replay_and_other_content_a_conflict,
        one_of_many_at_once_is_new,
        duplicates_in_one_call_follow_the_first,
        a_lone_submission_is_one_statement,
        a_call_of_many_sizes_keeps_everything,
        overlapping_calls_keep_each_key_once,
        what_a_batch_carries_is_known_before_validation,
        a_buried_submission_is_dead_once,
        what_no_column_holds_is_refused;
    validating:
        a_row_comes_back_as_it_was_written,
        the_largest_amounts_are_exact,
        an_amount_out_of_range_is_refused,
        a_submission_is_processed_once,
        a_row_that_exists_changes_nothing,
        two_workers_record_the_same_set_once,
        receipts_are_found_in_their_window;
    faults:
        cancelled_calls_leave_nothing_half_done,
        lost_connections_lose_and_double_nothing;
    deciding:
        a_valid_sale_gets_one_forward,
        the_first_decision_stands,
        two_workers_decide_each_row_once,
        a_buried_transaction_is_not_decided;
    forwarding:
        each_row_is_claimed_by_one_worker,
        a_claim_taken_over_settles_nothing,
        retries_come_back_and_count_when_they_should,
        a_claim_on_sales_never_claimed_is_one_statement,
        a_dead_one_leaves_one_letter,
        a_sale_costs_nine_row_writes;
    claiming:
        what_is_made_claimed_is_held_until_then_and_counted_at_its_end,
        what_was_made_claimed_is_taken_over_when_its_claim_ends,
        a_claim_that_was_made_is_renewed_by_its_job_once;
    dead_letters:
        what_was_given_up_is_due_again_once,
        a_refused_sale_takes_its_refunds_along_and_a_void_one_stays,
        a_discarded_letter_is_kept_with_its_order,
        two_commands_share_the_rate_of_a_run,
        what_was_set_aside_goes_through_its_stage_again,
        two_at_once_move_each_letter_once;
    breakers:
        one_of_many_opens_it_and_one_tries,
        a_persons_order_goes_over_what_the_sink_does;
    notifying:
        a_notice_is_made_and_delivered_once,
        a_failed_notice_is_not_due_again;
    auditing:
        a_chain_has_no_gap_and_every_link_holds,
        two_writers_never_fork_a_chain,
        an_event_is_recorded_once;
    alerting:
        schedulers_at_once_tell_it_once,
        an_alert_has_a_beginning_reminders_and_an_end,
        the_bound_of_an_hour_holds_and_loses_nothing,
        a_message_is_delivered_by_one;
    busiest:
        tenants_are_counted_within_the_time_and_the_bound;
    reversing:
        one_of_many_voids_wins,
        a_sale_void_before_its_decision_is_never_sent,
        a_void_meets_its_sale_wherever_it_is,
        a_parked_void_is_joined_by_the_decision,
        a_void_is_told_after_its_sale_and_once,
        a_void_of_a_sale_made_claimed_waits_and_is_told,
        a_sweeper_finds_reversals_and_what_the_log_misses;
    refunding:
        refunds_never_exceed_their_sale,
        a_refund_needs_a_valid_sale,
        refunds_of_a_sale_travel_together_after_it,
        the_newest_heartbeat_of_each_terminal_is_kept;
    limits:
        orders_hold_until_they_end_or_are_lifted,
        ingresses_count_while_they_are_heard,
        refusals_add_up_by_the_hour;
    sinks:
        a_sink_is_made_changed_and_removed,
        a_tenant_has_one_sink_and_a_name_is_used_once;
    forgetting:
        old_bookkeeping_is_forgotten_and_nothing_of_a_sale,
        a_round_ends_when_nothing_old_is_left;
    ids:
        ids_are_unique_over_processes,
        an_old_block_is_thrown_away,
        one_statement_serves_many_ids;
    directory:
        a_token_stands_for_its_terminal,
        codes_are_unique_and_parents_must_exist,
        lists_come_in_pages,
        what_is_revoked_stays_revoked;
    access:
        a_token_has_one_successor,
        a_successor_lives_as_long_as_its_predecessor_was_to,
        what_is_revoked_takes_its_unused_successor_along,
        the_feed_has_every_change_and_no_gap,
        every_change_names_who_made_it,
        events_are_counted_by_the_hour,
        sightings_never_go_back;
    sweeping:
        a_mark_never_moves_back,
        a_scan_tells_which_submissions_are_unfinished,
        a_scan_tells_which_transactions_are_unfinished,
        due_rows_page_by_time,
        the_audit_scan_shows_what_is_missing;
}
