-- How does this run end?
UPDATE reconciliations SET
    finished_at = now(), lease_until = NULL, read_until = :read_until, result = :result, detail = :detail,
    history_rows = :history_rows, skipped = :skipped, compared = :compared, filled = :filled,
    adjusted_micro = :adjusted_micro, topped_up_micro = :topped_up_micro, found = :found, settled = :settled
WHERE id = :run_id AND finished_at IS NULL
