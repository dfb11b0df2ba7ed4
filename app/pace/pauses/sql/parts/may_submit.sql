-- Whether no pause stops submits of {job}, a row of jobs.
-- The first condition asks whether there is any pause, once for each statement and not for each row. It is no join,
-- because the planner expects many more pauses than there are.
((SELECT NOT EXISTS (SELECT FROM pauses)) OR NOT {{ submits_paused(job={job}) }})
