-- Which session of the server answers?
SELECT pg_backend_pid()
