-- What have probes learned of this?
SELECT name, value, learned_at, probe_id FROM upstream_facts WHERE name = :name
