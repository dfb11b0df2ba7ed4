-- Does this connection now hold the lock for migrations?
SELECT pg_try_advisory_lock(:key)
