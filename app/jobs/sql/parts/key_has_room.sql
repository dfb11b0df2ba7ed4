-- Whether a key, a row of queues, has room for jobs of its own that are parked.
kept_out AND in_flight + ready < coalesce(max_in_flight, :no_limit)
