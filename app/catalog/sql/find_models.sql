-- Which of these slugs are in the catalogue?
SELECT {{ model_columns }} FROM models WHERE slug = ANY(:slugs::text[])
