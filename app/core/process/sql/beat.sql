-- How many heartbeats did this process send before, and how many processes of its kind sent one within a lease?
-- The statement does not see the row that it writes, so it adds this process to the others.
INSERT INTO processes (id, kind, host, pid) VALUES (:process_id, :kind, :host, :pid)
ON CONFLICT (id) DO UPDATE SET beat_at = now(), beats = processes.beats + 1
RETURNING beats, 1 + (
    SELECT count(*) FROM processes AS other
    WHERE other.id <> :process_id AND other.kind = :kind AND other.stopped_at IS NULL
        AND other.beat_at > now() - make_interval(secs => :lease_seconds)
) AS living
