-- The settings of a key that its queue does not have. A column changes only if `said` contains it.
name = CASE WHEN 'name' = ANY (:said::text[]) THEN :name ELSE name END,
expires_at = CASE WHEN 'expires_at' = ANY (:said) THEN :expires_at ELSE expires_at END,
rate_per_minute = CASE WHEN 'rate_per_minute' = ANY (:said) THEN :rate_per_minute ELSE rate_per_minute END,
burst = CASE WHEN 'burst' = ANY (:said) THEN :burst ELSE burst END
