-- Which models does a file bring, and which of them are new or keep another price than the file's?
-- What an operator has set stays: a price that is not 1.5 times the previous cost, the rule, the mark-up, the switch.
WITH line AS (
    SELECT * FROM unnest(
        :slug::text[], :title::text[], :modality::text[], :run_seconds::float8[], :cost_micro::bigint[], :price_micro::bigint[],
        :price_rule::text[], :markup_micro::bigint[], :enabled::boolean[]
    ) AS line (slug, title, modality, run_seconds, cost_micro, price_micro, price_rule, markup_micro, enabled)
)
INSERT INTO models AS model (
    slug, title, modality, run_seconds, cost_micro, price_micro, price_rule, markup_micro, enabled
)
SELECT
    slug, coalesce(title, ''), modality, run_seconds, cost_micro, price_micro, coalesce(price_rule, 'metered'),
    coalesce(markup_micro, 1000000), coalesce(enabled, true)
FROM line ORDER BY slug
-- `excluded` already has the defaults of what the file does not say: where that matters, `line` is read again
ON CONFLICT (slug) DO UPDATE SET
    title = coalesce((SELECT line.title FROM line WHERE line.slug = model.slug), model.title),
    modality = coalesce(excluded.modality, model.modality),
    run_seconds = coalesce(excluded.run_seconds, model.run_seconds),
    cost_micro = coalesce(excluded.cost_micro, model.cost_micro),
    price_micro = CASE
        WHEN :overwrite OR model.price_micro IS NULL OR model.price_micro = (3 * model.cost_micro + 1) / 2
            THEN coalesce(excluded.price_micro, model.price_micro)
        ELSE model.price_micro
    END,
    price_rule = CASE
        WHEN :overwrite THEN coalesce((SELECT line.price_rule FROM line WHERE line.slug = model.slug), model.price_rule)
        ELSE model.price_rule
    END,
    markup_micro = CASE
        WHEN :overwrite THEN coalesce((SELECT line.markup_micro FROM line WHERE line.slug = model.slug), model.markup_micro)
        ELSE model.markup_micro
    END,
    enabled = CASE
        WHEN :overwrite THEN coalesce((SELECT line.enabled FROM line WHERE line.slug = model.slug), model.enabled)
        ELSE model.enabled
    END,
    updated_at = now()
-- xmax is 0 in a row that has just been inserted
RETURNING slug, xmax = 0 AS new, price_micro IS DISTINCT FROM (
    SELECT coalesce(line.price_micro, model.price_micro) FROM line WHERE line.slug = model.slug
) AS kept
