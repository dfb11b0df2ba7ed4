CREATE VIEW ops.discrepancies AS
SELECT
    discrepancy.id AS discrepancy_id,
    discrepancy.kind,
    discrepancy.job_id,
    tenant.name AS tenant,
    discrepancy.tenant_id,
    discrepancy.upstream_id,
    discrepancy.model,
    round(discrepancy.ours_micro / 1000000.0, 6) AS ours,
    round(discrepancy.theirs_micro / 1000000.0, 6) AS theirs,
    discrepancy.happened_at,
    discrepancy.first_seen_at,
    discrepancy.last_seen_at,
    discrepancy.settled_at,
    discrepancy.accepted_at,
    discrepancy.accepted_note,
    discrepancy.subject
FROM discrepancies AS discrepancy
LEFT JOIN tenants AS tenant ON tenant.id = discrepancy.tenant_id

COMMENT ON VIEW ops.discrepancies IS 'What we and the upstream, or two of our own tables, tell differently; one row each, however often it is found.'

COMMENT ON COLUMN ops.discrepancies.discrepancy_id IS 'Its number.'

COMMENT ON COLUMN ops.discrepancies.kind IS 'balance: a tenant''s balance is not the sum of its transfers. credits: the upstream took another amount than our costs between two readings. cost: of one request. cost_unknown: nobody has told it. missing: the history lacks a job''s request. not_ours: a request that no job made. second_start: one that repeats a job''s. lost_start: one that fits a job of which nobody knew whether it had started.'

COMMENT ON COLUMN ops.discrepancies.job_id IS 'The job, if it is about one.'

COMMENT ON COLUMN ops.discrepancies.tenant IS 'Name of the tenant, if it is about one.'

COMMENT ON COLUMN ops.discrepancies.tenant_id IS 'Id of the tenant.'

COMMENT ON COLUMN ops.discrepancies.upstream_id IS 'The upstream''s request id.'

COMMENT ON COLUMN ops.discrepancies.model IS 'Slug of the model.'

COMMENT ON COLUMN ops.discrepancies.ours IS 'Credits by our books; of a balance: as the row says; null: not known.'

COMMENT ON COLUMN ops.discrepancies.theirs IS 'Credits by the upstream''s books; of a balance: the sum of the transfers; null: not known.'

COMMENT ON COLUMN ops.discrepancies.happened_at IS 'When the request was accepted, or the later of the two readings taken.'

COMMENT ON COLUMN ops.discrepancies.first_seen_at IS 'When it was found.'

COMMENT ON COLUMN ops.discrepancies.last_seen_at IS 'When it was last found still to be so.'

COMMENT ON COLUMN ops.discrepancies.settled_at IS 'When it was found to be no more; null with accepted_at null, too: open.'

COMMENT ON COLUMN ops.discrepancies.accepted_at IS 'When an operator had seen to it.'

COMMENT ON COLUMN ops.discrepancies.accepted_note IS 'What they found.'

COMMENT ON COLUMN ops.discrepancies.subject IS 'What it is about: the upstream''s request id, the tenant''s id or the reading''s number.'
