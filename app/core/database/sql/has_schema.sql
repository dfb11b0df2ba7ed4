-- Has anybody ever migrated this database?
SELECT to_regclass('alembic_version') IS NOT NULL
