-- Which statements create these roles, each without a login?
-- CREATE ROLE takes no parameter, so Postgres quotes the name.
SELECT format('CREATE ROLE %I NOLOGIN', name) FROM unnest(:names::text[]) AS role (name)
