-- Whether nobody has resolved an unknown attempt, a row of attempts. The release before resolves jobs without saying how.
(resolution IS NULL AND EXISTS (SELECT FROM jobs WHERE jobs.id = attempts.job_id AND jobs.state = 'unknown'))
