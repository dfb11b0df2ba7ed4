-- What are the slugs of all models, also of those that are switched off or retired?
SELECT slug FROM models
