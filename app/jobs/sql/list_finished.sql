-- Which of these jobs have ended?
SELECT id FROM jobs WHERE id = ANY (:job_ids::uuid[]) AND finished_at IS NOT NULL
