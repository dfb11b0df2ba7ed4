-- What has this probe seen?
UPDATE probes SET seen = :seen::jsonb, note = CASE WHEN :note = '' THEN note ELSE :note END WHERE id = :probe_id
