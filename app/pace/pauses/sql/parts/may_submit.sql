-- Whether no pause stops submits of {job}, a row of jobs.
-- Whether there is any pause at all is asked first, once a statement and not once a row. It is no join, for the planner expects
-- many more pauses than there are.
((SELECT NOT EXISTS (SELECT FROM pauses)) OR NOT {{ submits_paused(job={job}) }})
