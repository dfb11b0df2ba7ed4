-- Does any tenant have a job that could be sent?
SELECT
    (SELECT subject_id FROM queues WHERE runnable ORDER BY virtual_time LIMIT 1) IS NOT NULL
    OR EXISTS (SELECT FROM queues WHERE {{ key_has_room }})
