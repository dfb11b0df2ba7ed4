-- When does the next probe of a pause go, whose last one was this job and was answered 403?
UPDATE pauses SET
    probe_job_id = NULL, refusals = least(refusals + 1, 1000),
    -- twice the time of the last, up to a bound; the inner bound only keeps the power finite
    probe_at = now() + make_interval(secs => least(:seconds_max, :seconds_first * power(2, least(refusals + 1, 20))))
WHERE probe_job_id = :job_id AND probe_at IS NOT NULL
