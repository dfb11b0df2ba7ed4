-- Has the worker with this process id registered itself?
SELECT EXISTS (SELECT FROM processes WHERE kind = 'worker' AND pid = :pid AND stopped_at IS NULL)
