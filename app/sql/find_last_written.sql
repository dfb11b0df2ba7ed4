-- How much is there, and when was the last word written: by a process that says it lives, or about a job?
SELECT
    (SELECT count(*) FROM jobs) AS jobs,
    (SELECT max(at) FROM job_events) AS last_event_at,
    greatest((SELECT max(at) FROM job_events), (SELECT max(beat_at) FROM processes)) AS at
