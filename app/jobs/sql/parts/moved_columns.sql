-- What a CTE gives of each job that it has moved: the row after, and that before.
jobs.id, jobs.tenant_id, jobs.key_id, jobs.state, jobs.ready, jobs.owner, jobs.revision,
before.was_state, before.was_ready, before.was_owner, before.was_revision
