-- Which schemas have these models?
SELECT slug, schema FROM models WHERE slug = ANY (:models::text[]) AND schema IS NOT NULL
