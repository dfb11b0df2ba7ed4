-- Which of these models have now cost far more than their holds so often that they are switched off?
-- A model occurs once for each job that cost too much.
INSERT INTO models (slug, above_hold_count)
SELECT slug, count(*) FROM unnest(:slugs::text[]) AS t (slug) GROUP BY slug ORDER BY slug
ON CONFLICT (slug) DO UPDATE SET
    above_hold_count = models.above_hold_count + excluded.above_hold_count,
    enabled = models.enabled AND models.above_hold_count + excluded.above_hold_count < :jobs_max,
    disabled_reason = CASE
        WHEN models.enabled AND models.above_hold_count + excluded.above_hold_count >= :jobs_max THEN 'cost_above_hold'
        ELSE models.disabled_reason
    END,
    updated_at = now()
RETURNING slug, NOT enabled AND disabled_reason = 'cost_above_hold' AND above_hold_count >= :jobs_max AS switched_off
