-- Which processes have sent no heartbeat for days?
DELETE FROM processes WHERE beat_at < now() - make_interval(days => :days)
