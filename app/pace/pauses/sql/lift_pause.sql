-- Which pause of exactly this scope is lifted now?
-- None if the database may be older than what was sent (`reason`).
DELETE FROM pauses WHERE tenant_id IS NOT DISTINCT FROM :tenant_id AND model IS NOT DISTINCT FROM :model AND reason IS NULL
RETURNING {{ pause_columns }}
