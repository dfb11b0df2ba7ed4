-- The columns of a ShownJob, in its order. They come from `job`, a row of jobs, and from its `input` and `result`.
job.id, job.model, job.state, job.priority, job.created_at, job.submitted_at, job.started_at, job.finished_at,
job.cancel_requested_at, job.deadline_at, job.attempt, job.polls, job.error_code, job.run_seconds,
job.sent_at, job.rank_at, job.ready, CASE WHEN job.due_at <> 'infinity' THEN job.due_at END AS due_at,
now() AS read_at, job.late_result, job.recovered, job.held_micro, job.charged_micro, input.metadata, result.message,
(SELECT hook.url FROM job_webhooks AS hook WHERE hook.job_id = job.id) AS webhook_url
