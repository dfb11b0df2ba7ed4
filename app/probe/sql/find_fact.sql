-- What is the value of this fact?
SELECT value FROM upstream_facts WHERE name = :name
