-- Which process stops cleanly now?
UPDATE processes SET stopped_at = now(), beat_at = now() WHERE id = :process_id
