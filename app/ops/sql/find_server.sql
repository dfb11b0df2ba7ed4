-- Which version is the server, how durable are its commits, and what is its time?
SELECT
    current_setting('server_version_num')::integer AS version, current_setting('server_version') AS version_shown,
    current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit, pg_is_in_recovery() AS standby,
    clock_timestamp() AS at
