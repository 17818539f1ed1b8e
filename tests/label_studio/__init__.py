"""Label Studio: every fact of its protocol that shoal relies on has a test against the real server.

Opening and pushing:

- predictions are pushed in batches of at most 500, and what was made is compared with what was sent:
  `test_client.test_fact_predictions_go_in_batches_and_are_counted`
- a wrong `from_name` gets 201 and is left out: `test_client.test_fact_a_wrong_from_name_is_left_out_with_201_and_told`
- one `model_version`, a content hash, everywhere: `test_open.test_fact_one_model_version_everywhere`
- uncertainty sampling serves the lowest score first: `test_open.test_fact_the_lowest_score_is_served_first`
- views filter numbers by type `Number`: `test_open.test_fact_views_filter_numbers_by_type_number`, and sort them so:
  `test_open.test_tabs_sort_by_number`
- local files need a storage row over their folder: `test_open.test_fact_local_files_need_a_row_over_their_folder`
- the webhook that comes with a backend has no headers: `test_doctor.test_fact_the_webhook_gets_the_password_that_...`
- private addresses are blocked by default: `test_doctor.test_fact_private_addresses_are_blocked_by_default_and_...`
- legacy and personal access tokens both let in: `test_client.test_both_kinds_of_token_let_in`
- 48 thumbnails a task at most, by address: `test_tasks.test_fact_at_most_48_thumbnails_by_address_and_the_buckets_...`
- configurations pass the SDK's validators, without `Repeater` and `ReactCode`:
  `test_tasks.test_fact_configurations_pass_the_validators_of_the_sdk_and_wrong_ones_do_not`
- a `>` in a style kills its rule: `test_tasks.test_fact_no_rule_of_a_style_is_killed_by_a_greater_than`

Answering and webhooks: see the tests of the service beside these.
"""
