-- Which operator is created, unless one has or had this name?
INSERT INTO operators (id, name, role, prefix, hash) VALUES (:operator_id, :name, :role, :prefix, :hash)
ON CONFLICT (name) DO NOTHING RETURNING {{ operator_columns }}
