-- What is kept of this tenant's 403s for this model from now on?
INSERT INTO forbidden_answers (tenant_id, model, last_at, last_body, other_at, alone)
VALUES (:tenant_id, :model, to_timestamp(:last_at), :last_body, to_timestamp(:other_at), :alone)
ON CONFLICT (tenant_id, model) DO UPDATE SET
    last_at = excluded.last_at, last_body = excluded.last_body, other_at = excluded.other_at, alone = excluded.alone
