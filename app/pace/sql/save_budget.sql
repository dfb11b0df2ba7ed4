-- What is the rate estimate from now on?
UPDATE upstream_state SET
    -- after a new pause there are no tokens to start with
    tokens = CASE WHEN to_timestamp(:resume_at) > resume_at THEN least(tokens, 0) ELSE tokens END,
    alarmed_at = CASE WHEN :alarm THEN now() ELSE alarmed_at END,
    updated_at = now(), rate = :rate, limit_per_minute = :limit, cut_at = to_timestamp(:cut_at),
    resume_at = to_timestamp(:resume_at), ramp_seconds = :ramp_seconds, relapses = :relapses, doubt = :doubt,
    trial_reads = :trial_reads, trial_at = to_timestamp(:trial_at), minute_seen = :minute_seen,
    learned_at = to_timestamp(:learned_at), broken_at = to_timestamp(:broken_at), judged_at = to_timestamp(:judged_at),
    ease_rate = :ease_rate
