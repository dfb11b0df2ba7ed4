-- Which of these deliveries were still held under their fence when their attempts are recorded?
WITH asked AS (
    SELECT * FROM unnest(
        :id::uuid[], :fence::bigint[], :attempt::integer[], :status::text[], :due_seconds::float8[], :outcome::text[],
        :duration_seconds::float8[], :status_code::smallint[], :address::text[], :detail::text[], :answer::bytea[],
        :error::text[]
    ) AS t (
        id, fence, attempt, status, due_seconds, outcome, duration_seconds, status_code, address, detail, answer, error
    )
), moved AS (
    UPDATE webhook_deliveries AS delivery SET
        status = asked.status,
        due_at = CASE WHEN asked.status = 'pending' THEN now() + make_interval(secs => asked.due_seconds) END,
        delivered_at = CASE WHEN asked.status = 'delivered' THEN now() ELSE delivery.delivered_at END,
        step = delivery.step + (asked.status <> 'delivered')::integer,
        last_status_code = asked.status_code,
        last_error = asked.error,
        lease_until = NULL,
        owner = NULL
    -- the fence: an older claim must not change the delivery
    FROM asked WHERE delivery.id = asked.id AND delivery.fence = asked.fence AND delivery.status = 'sending'
    RETURNING delivery.id
), attempts AS (
    -- also attempts under an older fence: the receiver has seen them
    INSERT INTO webhook_attempts (
        delivery_id, attempt, outcome, duration_seconds, status_code, address, detail, answer
    )
    SELECT id, attempt, outcome, duration_seconds, status_code, address, detail, answer FROM asked
    ON CONFLICT DO NOTHING
)
SELECT id FROM moved
