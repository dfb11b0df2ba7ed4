-- How often has this process said that it lives, and how many of its kind have said so within a lease?
-- What the statement itself writes it does not see: this process is added to the others.
INSERT INTO processes (id, kind, host, pid) VALUES (:process_id, :kind, :host, :pid)
ON CONFLICT (id) DO UPDATE SET beat_at = now(), beats = processes.beats + 1
RETURNING beats, 1 + (
    SELECT count(*) FROM processes AS other
    WHERE other.id <> :process_id AND other.kind = :kind AND other.stopped_at IS NULL
        AND other.beat_at > now() - make_interval(secs => :lease_seconds)
) AS living
