-- A query for the outcomes of attempts, with the fields of SubmitRecord.
SELECT * FROM unnest(
    :id::uuid[], :attempt::smallint[], :to_state::text[], :reason::text[], :due_seconds::double precision[],
    :upstream_id::text[], :upstream_state::text[], :error_code::text[], :message::text[], :body::bytea[], :retry::boolean[],
    :status_code::smallint[], :outcome::text[], :duration_seconds::double precision[], :detail::text[], :original::bytea[]
) AS asked (
    id, attempt, to_state, reason, due_seconds, upstream_id, upstream_state, error_code, message, body, retry, status_code,
    outcome, duration_seconds, detail, original
)
