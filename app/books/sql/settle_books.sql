-- How is a doubt ended?
UPDATE books SET doubt = NULL, doubted_at = NULL, server = {{ server }}, recoveries = recoveries + :recoveries
