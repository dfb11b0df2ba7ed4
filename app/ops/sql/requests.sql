-- For which surfaces does the view show other numbers than those of jobs, refusals and replays?
WITH found AS (
    SELECT coalesce(shown.surface, kept.surface) AS id
    FROM (
        SELECT
            surface, sum(count) FILTER (WHERE code = 'accepted') AS accepted,
            sum(count) FILTER (WHERE code <> 'accepted') AS others
        FROM ops.requests GROUP BY surface
    ) AS shown
    FULL JOIN (
        SELECT surface, sum(jobs) AS accepted, sum(refused) AS others FROM (
            SELECT surface, count(*) AS jobs, NULL::numeric AS refused FROM jobs GROUP BY surface
            UNION ALL
            SELECT surface, NULL, sum(count) FROM refusals GROUP BY surface
        ) AS parts GROUP BY surface
    ) AS kept ON kept.surface = shown.surface
    WHERE shown.accepted IS DISTINCT FROM kept.accepted OR shown.others IS DISTINCT FROM kept.others
), counted AS (
    SELECT (SELECT count(*) FROM jobs) + (SELECT coalesce(sum(count), 0) FROM refusals) AS number
), {{ proof }}
