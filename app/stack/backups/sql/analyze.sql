-- How many rows has each table, for the planner?
ANALYZE
