-- How many rows are there, for the planner to know?
ANALYZE
