ALTER TABLE alembic_version ADD COLUMN serves_from text NOT NULL DEFAULT '0014'

COMMENT ON COLUMN alembic_version.version_num IS 'the newest migration that was applied'

COMMENT ON COLUMN alembic_version.serves_from IS 'processes whose newest migration is this one, or a later one, may run on this schema. Only a contract migration changes it'
