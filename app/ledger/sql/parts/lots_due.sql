-- Whether there is credit whose time is over.
EXISTS (SELECT FROM lots WHERE expired_at IS NULL AND expires_at <= now())
