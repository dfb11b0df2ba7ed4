-- The columns of a Budget, in its order, for a SELECT from `upstream_state`. Instants are in seconds since 1970.
rate, limit_per_minute AS limit,
date_part('epoch', cut_at) AS cut_at, date_part('epoch', resume_at) AS resume_at,
ramp_seconds, relapses, doubt,
trial_reads, date_part('epoch', trial_at) AS trial_at,
minute_seen, date_part('epoch', learned_at) AS learned_at,
date_part('epoch', broken_at) AS broken_at, date_part('epoch', judged_at) AS judged_at, ease_rate
