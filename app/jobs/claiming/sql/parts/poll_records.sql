-- A query for the outcomes of polls, with the fields of PollRecord.
SELECT * FROM unnest(
    :id::uuid[], :fence::bigint[], :to_state::text[], :reason::text[], :due_seconds::double precision[], :upstream_state::text[],
    :gone::boolean[], :retry::boolean[], :error_code::text[], :message::text[], :body::bytea[], :run_seconds::double precision[],
    :detection_seconds::double precision[], :cost_micro::bigint[], :charge_micro::bigint[], :unreadable::boolean[],
    :original::bytea[]
) AS asked (
    id, fence, to_state, reason, due_seconds, upstream_state, gone, retry, error_code, message, body, run_seconds,
    detection_seconds, cost_micro, charge_micro, unreadable, original
)
