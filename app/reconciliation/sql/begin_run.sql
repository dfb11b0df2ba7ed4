-- Does this run begin, because no other run is open?
INSERT INTO reconciliations (asked_by, since, until, lease_until)
VALUES (:asked_by, :since, :until, now() + make_interval(secs => :lease_seconds))
ON CONFLICT ((finished_at IS NULL)) WHERE finished_at IS NULL DO NOTHING
RETURNING id, since, until
