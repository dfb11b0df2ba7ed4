-- Has the worker with this process id reported for work?
SELECT EXISTS (SELECT FROM processes WHERE kind = 'worker' AND pid = :pid AND stopped_at IS NULL)
