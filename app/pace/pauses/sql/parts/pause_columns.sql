-- The columns of a Pause, in its order, for a SELECT from `pauses` or after RETURNING.
tenant_id, (SELECT tenants.name FROM tenants WHERE tenants.id = tenant_id) AS tenant_name, model, what, since,
paused_by, note, probe_at, refusals, reason
