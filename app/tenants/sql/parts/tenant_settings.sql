-- The settings of a tenant that its queue does not have. A column changes only if `said` contains it.
name = CASE WHEN 'name' = ANY (:said::text[]) THEN :name ELSE name END,
max_price_micro = CASE WHEN 'max_price_micro' = ANY (:said) THEN :max_price_micro ELSE max_price_micro END,
default_price_micro = CASE WHEN 'default_price_micro' = ANY (:said) THEN :default_price_micro ELSE default_price_micro END,
models = CASE WHEN 'models' = ANY (:said) THEN :models ELSE models END,
rate_per_minute = CASE WHEN 'rate_per_minute' = ANY (:said) THEN :rate_per_minute ELSE rate_per_minute END,
burst = CASE WHEN 'burst' = ANY (:said) THEN :burst ELSE burst END,
refused_per_minute = CASE WHEN 'refused_per_minute' = ANY (:said) THEN :refused_per_minute ELSE refused_per_minute END,
-- null: no change; a tenant that is suspended again keeps the first instant
suspended_at = CASE WHEN :suspended THEN coalesce(suspended_at, now()) WHEN NOT :suspended THEN NULL ELSE suspended_at END
