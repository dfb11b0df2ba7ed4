-- What is this tenant after these settings changed, some of which its queue has, too?
-- A trigger copies those to the queue.
UPDATE tenants SET
    {{ tenant_settings }},
    weight = CASE WHEN 'weight' = ANY (:said) THEN :weight ELSE weight END,
    max_in_flight = CASE WHEN 'max_in_flight' = ANY (:said) THEN :max_in_flight ELSE max_in_flight END,
    max_queued = CASE WHEN 'max_queued' = ANY (:said) THEN :max_queued ELSE max_queued END
WHERE id = :tenant_id
RETURNING {{ tenant_columns }}
