-- Which database does a new cluster have? On one line, for a server in single-user mode reads it line by line.
CREATE DATABASE waystation
