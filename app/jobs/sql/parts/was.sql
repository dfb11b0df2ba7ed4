-- The columns that a CTE returns of each job that it has locked, besides the id: the values before the change. The CTE that
-- changes the job reads them as `before`.
job.state AS was_state, job.ready AS was_ready, job.owner AS was_owner, job.revision AS was_revision
