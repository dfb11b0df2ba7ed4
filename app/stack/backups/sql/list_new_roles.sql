-- Which statements make these roles, each without a login? A name is no parameter of CREATE ROLE, so Postgres quotes it.
SELECT format('CREATE ROLE %I NOLOGIN', name) FROM unnest(:names::text[]) AS role (name)
