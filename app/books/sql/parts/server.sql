-- The present system identifier, timeline and database oid, joined by slashes; null on a standby.
(
    SELECT CASE WHEN NOT pg_is_in_recovery() THEN concat_ws(
        '/', (SELECT system_identifier FROM pg_control_system()), substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8),
        (SELECT oid FROM pg_database WHERE datname = current_database())
    ) END
)
