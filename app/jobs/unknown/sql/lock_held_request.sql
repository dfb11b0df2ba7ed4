-- What is charged for this ended job, if it still has this request of the upstream?
SELECT charged_micro FROM jobs WHERE id = :job_id AND upstream_id = :upstream_id AND finished_at IS NOT NULL FOR UPDATE
