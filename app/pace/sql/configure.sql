-- What do the settings allow at most?
-- Writes nothing if these values are already stored.
UPDATE upstream_state SET ceiling_per_minute = :ceiling_per_minute, max_in_flight = :max_in_flight
WHERE (ceiling_per_minute, max_in_flight) IS DISTINCT FROM (:ceiling_per_minute, :max_in_flight)
