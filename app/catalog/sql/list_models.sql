-- Which models follow this slug, in the order of their slugs?
SELECT {{ model_columns }} FROM models
WHERE (:slugs::text[] IS NULL OR slug = ANY(:slugs)) AND (:after::text IS NULL OR slug > :after)
    AND (NOT :offered OR (enabled AND retired_at IS NULL)) AND (NOT :priced OR price_micro IS NOT NULL)
ORDER BY slug LIMIT :limit
