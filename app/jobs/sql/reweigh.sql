-- How does what a tenant has had beyond the others count under a new weight?
UPDATE queues SET
    virtual_time = state.virtual_time + (queues.virtual_time - state.virtual_time) * queues.weight / :weight::double precision
FROM upstream_state AS state
WHERE subject_id = :tenant_id AND queues.virtual_time > state.virtual_time AND :weight::double precision > 0
