-- The end of a statement for a page of the CTE `candidates`: the wanted jobs, and, if the page is not full, the candidate at
-- which the scan stopped. OFFSET 0 forces the planner to examine the candidates one by one, in order, until the page is full.
page AS MATERIALIZED (
    SELECT wanted.*
    FROM candidates AS candidate CROSS JOIN LATERAL (
        SELECT {{ shown }}
        FROM jobs AS job
        JOIN job_inputs AS input ON input.job_id = job.id LEFT JOIN job_results AS result ON result.job_id = job.id
        WHERE job.id = candidate.id AND (:states::text[] IS NULL OR job.state = ANY (:states::text[]))
            AND (:model::text IS NULL OR job.model = :model)
            AND NOT EXISTS (
                SELECT FROM unnest(:keys::text[], :values::text[]) AS member (key, value)
                WHERE input.metadata ->> member.key IS DISTINCT FROM member.value
            )
        OFFSET 0
    ) AS wanted
    ORDER BY candidate.created_at DESC, candidate.id DESC LIMIT :limit
), last AS (
    SELECT id AS scanned_to FROM candidates AS candidate
    WHERE (SELECT count(*) FROM page) < :limit
    OFFSET :scan_max - 1 LIMIT 1
)
SELECT page.*, last.scanned_to FROM page FULL JOIN last ON false
ORDER BY page.created_at DESC, page.id DESC
