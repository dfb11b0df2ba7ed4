-- Whether a key, a row of queues, has jobs that are not ready, and places in flight for them.
kept_out AND in_flight + ready < coalesce(max_in_flight, :no_limit)
