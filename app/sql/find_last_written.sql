-- How many jobs are there, and when was the last event of a job, and the last event or heartbeat?
SELECT
    (SELECT count(*) FROM jobs) AS jobs,
    (SELECT max(at) FROM job_events) AS last_event_at,
    greatest((SELECT max(at) FROM job_events), (SELECT max(beat_at) FROM processes)) AS at
