-- A query for new jobs, with the fields of Submission. hold_id: the id of the hold that the same statement makes, or null.
SELECT * FROM unnest(
    :id::uuid[], :tenant_id::uuid[], :key_id::uuid[], :surface::text[], :model::text[], :priority::smallint[],
    :created_at::timestamptz[], :not_before::timestamptz[], :deadline_at::timestamptz[], :idempotency_key::text[],
    :fingerprint::bytea[], :body::bytea[], :metadata::jsonb[], :held_micro::bigint[], :price_rule::text[], :markup_micro::bigint[],
    :on_unknown::text[], :webhook_target_id::uuid[], :webhook_url::text[], :webhook_events::text[], :hold_id::uuid[]
) AS asked (
    id, tenant_id, key_id, surface, model, priority, created_at, not_before, deadline_at, idempotency_key, fingerprint, body,
    metadata, held_micro, price_rule, markup_micro, on_unknown, webhook_target_id, webhook_url, webhook_events, hold_id
)
