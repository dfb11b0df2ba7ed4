-- The columns of a Tenant, in its order; of `tenants`, in a SELECT or after RETURNING.
id, name, created_at, suspended_at, max_price_micro, default_price_micro, models, weight, rate_per_minute, burst,
refused_per_minute, max_in_flight, max_queued
