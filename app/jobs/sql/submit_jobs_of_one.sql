-- Does this tenant have places and credits for all its new jobs?
-- If so, the jobs are stored, and their holds are made. Waits at most :lock_seconds for a lock on its queues or its balance.
WITH asked AS ({{ submissions }}), holds AS (
    SELECT hold_id AS id, tenant_id, id AS job_id, key_id, held_micro AS amount FROM asked
), patience AS MATERIALIZED ({{ patience }}), newcomers AS ({{ newcomers }}), places AS MATERIALIZED (
    SELECT subject_id, max_queued, queued, ready, claimed, in_flight FROM queues
    WHERE subject_id = ANY (ARRAY(SELECT subject_id FROM newcomers)) AND (SELECT taken FROM patience)
    ORDER BY subject_id FOR UPDATE
), roomy AS MATERIALIZED ({{ roomy }}), locked AS MATERIALIZED (
    SELECT tenant_id, granted, posted, held, overdraft, expiring FROM balances
    WHERE tenant_id = ANY (ARRAY(SELECT tenant_id FROM roomy)) ORDER BY tenant_id FOR UPDATE
), {{ holds_that_fit }}, accepted AS (
    SELECT * FROM asked WHERE tenant_id IN (SELECT tenant_id FROM fits)
), {{ stored }}, changes AS ({{ changes_of_new(rows=stored) }}), {{ counted_of_locked(held=places) }}, {{ inputs_of_stored }}
SELECT tenant_id FROM fits
