-- What is this key now, with these settings changed? Its queue is not touched.
UPDATE api_keys SET
    {{ key_settings }}
WHERE id = :key_id
RETURNING {{ key_columns }}
