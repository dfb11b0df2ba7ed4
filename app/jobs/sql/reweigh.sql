-- What is a tenant's virtual time under a new weight?
-- Only the part by which it is ahead of the others is converted.
UPDATE queues SET
    virtual_time = state.virtual_time + (queues.virtual_time - state.virtual_time) * queues.weight / :weight::double precision
FROM upstream_state AS state
WHERE subject_id = :tenant_id AND queues.virtual_time > state.virtual_time AND :weight::double precision > 0
