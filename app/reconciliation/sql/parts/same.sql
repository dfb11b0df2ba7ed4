-- True if a discrepancy was open and its amounts have not changed.
(kept.ours_micro, kept.theirs_micro) IS NOT DISTINCT FROM (excluded.ours_micro, excluded.theirs_micro)
    AND kept.settled_at IS NULL
