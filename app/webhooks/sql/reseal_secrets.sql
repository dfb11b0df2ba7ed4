-- Which secrets are stored again, encrypted with another key?
UPDATE webhook_secrets AS secret SET sealed = asked.sealed
FROM unnest(:id::uuid[], :sealed::bytea[]) AS asked (id, sealed) WHERE secret.id = asked.id
