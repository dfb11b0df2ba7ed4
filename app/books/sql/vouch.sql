-- How does a process vouch that the database has everything that it wrote?
UPDATE processes SET vouched_for = {{ server }} WHERE id = :process_id
