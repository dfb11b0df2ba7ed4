-- Who else may change what is kept of this model's 403s until this transaction ends? Nobody.
SELECT pg_advisory_xact_lock(:lock_key::integer, hashtext(:model))
