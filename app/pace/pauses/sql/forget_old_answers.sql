-- Which 403s are so old that they are deleted now?
DELETE FROM forbidden_answers WHERE (tenant_id, model) IN (
    SELECT tenant_id, model FROM forbidden_answers WHERE last_at < now() - make_interval(secs => :kept_seconds)
    LIMIT :most FOR UPDATE SKIP LOCKED
)
