-- How many discrepancies are open, how many requests are not ours, and when was the last comparison?
SELECT
    count(*) AS open,
    count(*) FILTER (WHERE kind = 'not_ours' AND happened_at > now() - make_interval(days => :days)) AS strangers,
    (SELECT max(finished_at) FROM ops.reconciliations WHERE result IN ('agrees', 'differs')) AS compared_at
FROM ops.discrepancies WHERE settled_at IS NULL AND accepted_at IS NULL
