-- Which migration is the newest, and which is the oldest whose processes the schema still serves?
-- Before revision 0015 the column `serves_from` does not exist, so the row is read as JSON.
SELECT to_jsonb(ours) ->> 'version_num' AS version, to_jsonb(ours) ->> 'serves_from' AS serves_from
FROM alembic_version AS ours
