-- Which attempts are so old that they are dropped? They are kept only to look into what went wrong lately.
DELETE FROM webhook_attempts WHERE (delivery_id, attempt) IN (
    SELECT delivery_id, attempt FROM webhook_attempts WHERE at < now() - make_interval(days => :days)
    ORDER BY at LIMIT :attempts_max
)
