-- What can the upstream have charged between two readings?
-- The upstream charges a job at its end. That is before our `finished_at`, by at most the detection time.
WITH ended AS (
    SELECT
        cost_micro, held_micro,
        greatest(sent_at, coalesce(finished_at - make_interval(secs => detection_seconds), sent_at))
            - make_interval(secs => :slack_seconds) AS charged_from,
        finished_at + make_interval(secs => :slack_seconds) AS charged_to
    FROM jobs
    WHERE finished_at >= :before_asked_at::timestamptz - make_interval(secs => :slack_seconds) AND finished_at <= now()
        -- a failed request without a cost is free
        AND upstream_id IS NOT NULL AND (cost_micro > 0 OR (cost_micro IS NULL AND error_code IS DISTINCT FROM 'upstream_failed'))
), of_ended AS (
    SELECT
        coalesce(sum(cost_micro) FILTER (WHERE charged_from > :before_at AND charged_to <= :asked_at), 0) AS least,
        coalesce(sum(coalesce(cost_micro, held_micro)), 0) AS most,
        count(*) AS number
    FROM ended WHERE charged_to > :before_asked_at AND charged_from <= :at
), of_others AS (
    -- an unfinished job may already be charged, up to its hold
    SELECT coalesce(sum(held_micro), 0) AS most FROM jobs WHERE state IN ('sending', 'unknown', 'running')
), of_exposures AS (
    SELECT coalesce(sum(amount), 0) AS most, count(*) AS number FROM exposures
    WHERE at >= :before_asked_at::timestamptz - make_interval(secs => :slack_seconds) AND reason IN ('second_start', 'unknown')
), of_probes AS (
    -- what operators sent as probes: one whose cost is not known may cost what they allowed, within a day
    SELECT coalesce(sum(coalesce(cost_micro, max_cost_micro)), 0) AS most, count(*) AS number FROM probes
    WHERE sent_at <= :at::timestamptz + make_interval(secs => :slack_seconds) AND outcome IN ('unknown', 'completed', 'failed')
        AND coalesce(ended_at, sent_at + interval '1 day')
            >= :before_asked_at::timestamptz - make_interval(secs => :slack_seconds)
)
SELECT
    of_ended.least::bigint AS least, (of_ended.most + of_others.most + of_exposures.most + of_probes.most)::bigint AS most,
    of_ended.number + of_exposures.number + of_probes.number AS jobs
FROM of_ended, of_others, of_exposures, of_probes
