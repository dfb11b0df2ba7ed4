-- Which operator is added, unless one of that name is or was there?
INSERT INTO operators (id, name, role, prefix, hash) VALUES (:operator_id, :name, :role, :prefix, :hash)
ON CONFLICT (name) DO NOTHING RETURNING {{ operator_columns }}
