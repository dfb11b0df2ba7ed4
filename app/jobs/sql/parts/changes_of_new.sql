-- The same as `changes_of` for new jobs. All of them are queued.
SELECT tenant_id, key_id, 1 AS queued, ready::integer AS ready, 0 AS claimed, 0 AS in_flight FROM {rows}
