-- Which of these slugs are models that the catalogue knows?
SELECT {{ model_columns }} FROM models WHERE slug = ANY(:slugs::text[])
