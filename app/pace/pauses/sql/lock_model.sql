-- Which lock keeps others from changing the kept 403s of this model until this transaction ends?
SELECT pg_advisory_xact_lock(:lock_key::integer, hashtext(:model))
