-- Which database does a new cluster have?
-- On one line: a server in single-user mode reads line by line.
CREATE DATABASE waystation
