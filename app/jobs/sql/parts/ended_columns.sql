-- What `end_jobs` needs of each job that has ended, beside `moved_columns`; and `reason`, why it ended, which a cancel does not hide.
jobs.model, jobs.error_code, jobs.upstream_id, jobs.finished_at, jobs.held_micro, jobs.charged_micro, jobs.price_rule,
jobs.markup_micro, jobs.cost_micro, jobs.run_seconds
