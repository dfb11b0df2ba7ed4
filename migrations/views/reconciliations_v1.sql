CREATE VIEW ops.reconciliations AS
SELECT
    id AS reconciliation_id,
    asked_by,
    started_at,
    finished_at,
    since,
    until,
    read_until,
    coalesce(result, 'running') AS result,
    detail,
    history_rows,
    skipped,
    compared,
    filled,
    round(adjusted_micro / 1000000.0, 6) AS adjusted,
    round(topped_up_micro / 1000000.0, 6) AS topped_up,
    found,
    settled
FROM reconciliations

COMMENT ON VIEW ops.reconciliations IS 'Every comparison of our books with themselves and with the upstream''s. What differs is in ops.discrepancies.'

COMMENT ON COLUMN ops.reconciliations.reconciliation_id IS 'Its number.'

COMMENT ON COLUMN ops.reconciliations.asked_by IS 'Who asked for it; null: the daily one.'

COMMENT ON COLUMN ops.reconciliations.started_at IS 'When it began.'

COMMENT ON COLUMN ops.reconciliations.finished_at IS 'When it ended; null while it runs.'

COMMENT ON COLUMN ops.reconciliations.since IS 'Requests accepted from this instant on were compared.'

COMMENT ON COLUMN ops.reconciliations.until IS 'And before this one: what is younger may not have landed in the history yet.'

COMMENT ON COLUMN ops.reconciliations.read_until IS 'Up to where the history was compared; null: it was not.'

COMMENT ON COLUMN ops.reconciliations.result IS 'agrees; differs: there are open discrepancies; cut: it stopped at its bound, and the next goes on from there; incomplete: see detail; abandoned: its process died; running.'

COMMENT ON COLUMN ops.reconciliations.detail IS 'What could not be read, and why.'

COMMENT ON COLUMN ops.reconciliations.history_rows IS 'Rows of the upstream''s history that were read; a request with several outputs has several.'

COMMENT ON COLUMN ops.reconciliations.skipped IS 'Rows of the history that name no request, or no time.'

COMMENT ON COLUMN ops.reconciliations.compared IS 'Requests whose cost was compared with ours.'

COMMENT ON COLUMN ops.reconciliations.filled IS 'Jobs whose cost only the history has told.'

COMMENT ON COLUMN ops.reconciliations.adjusted IS 'Credits given back to tenants because of such a cost.'

COMMENT ON COLUMN ops.reconciliations.topped_up IS 'Credits bought at the upstream since the reading before, at least.'

COMMENT ON COLUMN ops.reconciliations.found IS 'Discrepancies it found that were not known.'

COMMENT ON COLUMN ops.reconciliations.settled IS 'Discrepancies it found to be no more.'
