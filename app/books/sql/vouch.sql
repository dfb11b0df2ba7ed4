-- How does a process say that it has found everything that it remembers?
UPDATE processes SET vouched_for = {{ server }} WHERE id = :process_id
