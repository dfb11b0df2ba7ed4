-- What have probes learned of the upstream?
SELECT name, value, learned_at, probe_id FROM upstream_facts ORDER BY name
