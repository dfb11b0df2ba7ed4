-- Whether any lot is due to expire.
EXISTS (SELECT FROM lots WHERE expired_at IS NULL AND expires_at <= now())
