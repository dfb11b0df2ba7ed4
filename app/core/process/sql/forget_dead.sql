-- Which processes have not been heard of for days?
DELETE FROM processes WHERE beat_at < now() - make_interval(days => :days)
