-- What may all jobs in flight cost, in micro-credits?
SELECT coalesce(sum(held_micro), 0)::bigint FROM jobs WHERE state = 'sending' OR state = 'unknown' OR state = 'running'
