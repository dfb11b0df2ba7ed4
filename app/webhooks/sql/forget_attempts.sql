-- Which attempts are so old that they are dropped?
-- What is kept of attempts is for looking into what went wrong lately; secrets that sign no more are of no use to anybody.
DELETE FROM webhook_attempts WHERE (delivery_id, attempt) IN (
    SELECT delivery_id, attempt FROM webhook_attempts WHERE at < now() - make_interval(days => :days) ORDER BY at LIMIT :attempts_max
)
