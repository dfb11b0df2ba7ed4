-- Which process of the server runs this session?
SELECT pg_backend_pid()
