-- Which role and which settings does this session have?
-- The timeouts are in seconds.
SELECT
    current_user AS role,
    extract(epoch FROM current_setting('statement_timeout')::interval)::double precision AS statement_timeout,
    extract(epoch FROM current_setting('idle_in_transaction_session_timeout')::interval)::double precision
        AS idle_in_transaction_session_timeout,
    current_setting('default_transaction_read_only') AS default_transaction_read_only,
    pg_backend_pid() AS backend
