-- Whether a discrepancy has the amounts that it had before, and was open.
(kept.ours_micro, kept.theirs_micro) IS NOT DISTINCT FROM (excluded.ours_micro, excluded.theirs_micro)
    AND kept.settled_at IS NULL
