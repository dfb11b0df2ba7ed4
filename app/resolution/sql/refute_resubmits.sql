-- Is anything resubmitted, after a request appeared that had been proven absent?
UPDATE history_watch SET resubmits_refuted_at = now() WHERE resubmits_refuted_at IS NULL
