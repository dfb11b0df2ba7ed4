-- What did the upstream charge for the probe with this id, if that is not known yet?
UPDATE probes SET cost_micro = :cost_micro WHERE upstream_id = :upstream_id AND cost_micro IS NULL
