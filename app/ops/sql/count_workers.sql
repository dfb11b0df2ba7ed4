-- How many workers have sent a heartbeat recently?
SELECT count(*) FROM processes
WHERE kind = 'worker' AND stopped_at IS NULL AND beat_at > now() - make_interval(secs => :silent_seconds)
