-- Which position does an event have in its tenant's feed?
SELECT position FROM webhook_events WHERE id = :event_id AND tenant_id = :tenant_id
