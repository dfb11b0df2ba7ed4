-- The columns that a CTE returns of each job it has changed: values after and before.
jobs.id, jobs.tenant_id, jobs.key_id, jobs.state, jobs.ready, jobs.owner, jobs.revision,
before.was_state, before.was_ready, before.was_owner, before.was_revision
