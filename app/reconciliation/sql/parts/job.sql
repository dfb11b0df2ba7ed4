-- The columns of an OurJob, in its order, for a row `job` of jobs.
job.id, job.tenant_id, job.key_id, job.model, job.state, job.upstream_id, job.sent_at, job.finished_at,
job.cost_micro AS cost, job.held_micro AS held, job.charged_micro AS charged, job.price_rule, job.markup_micro
