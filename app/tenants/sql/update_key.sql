-- What is this key after these settings changed, none of which its queue has?
UPDATE api_keys SET
    {{ key_settings }}
WHERE id = :key_id
RETURNING {{ key_columns }}
