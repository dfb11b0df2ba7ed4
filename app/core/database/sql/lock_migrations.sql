-- Is it ours to migrate now, until the connection ends?
SELECT pg_try_advisory_lock(:key)
