-- Which key has this id?
SELECT {{ key_columns }} FROM api_keys WHERE id = :key_id
