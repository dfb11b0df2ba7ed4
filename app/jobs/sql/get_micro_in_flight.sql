-- What may all jobs at the upstream cost?
SELECT coalesce(sum(held_micro), 0)::bigint FROM jobs WHERE state = 'sending' OR state = 'unknown' OR state = 'running'
