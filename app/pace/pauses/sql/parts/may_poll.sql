-- Whether no pause stops polls of {job}, a row of jobs. See may_submit for the order of the conditions.
((SELECT NOT EXISTS (SELECT FROM pauses WHERE what = 'all')) OR NOT {{ polls_paused(job={job}) }})
