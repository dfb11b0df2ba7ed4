-- What a CTE gives of each job that it has locked, beside its id: the row before. Whoever moves the job takes it as `before`.
job.state AS was_state, job.ready AS was_ready, job.owner AS was_owner, job.revision AS was_revision
