-- How many seconds did the latest jobs of these models run, newest first, and what is their published mean?
SELECT asked.model, latest.samples, models.run_seconds AS published
FROM unnest(:models::text[]) AS asked (model)
LEFT JOIN models ON models.slug = asked.model
CROSS JOIN LATERAL (
    SELECT array_agg(seconds) AS samples FROM (
        SELECT run_seconds AS seconds FROM jobs
        WHERE jobs.model = asked.model AND state = 'completed' AND run_seconds IS NOT NULL
        ORDER BY finished_at DESC LIMIT :samples_max
    ) AS newest
) AS latest
