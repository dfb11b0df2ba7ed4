-- Which attempts are older than :days days, and deleted?
DELETE FROM webhook_attempts WHERE (delivery_id, attempt) IN (
    SELECT delivery_id, attempt FROM webhook_attempts WHERE at < now() - make_interval(days => :days)
    ORDER BY at LIMIT :attempts_max
)
