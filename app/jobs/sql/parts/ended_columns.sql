-- The columns that `end_jobs` needs of each ended job besides `moved_columns`. It also needs `reason`: why the job ended, also
-- if canceled.
jobs.model, jobs.error_code, jobs.upstream_id, jobs.finished_at, jobs.held_micro, jobs.charged_micro, jobs.price_rule,
jobs.markup_micro, jobs.cost_micro, jobs.run_seconds
