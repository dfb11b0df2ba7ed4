-- What is known of the upstream after this probe?
INSERT INTO upstream_facts (name, value, learned_at, probe_id)
SELECT fact.name, fact.value, now(), :probe_id
FROM jsonb_each(:facts::jsonb) AS fact (name, value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, learned_at = excluded.learned_at, probe_id = excluded.probe_id
