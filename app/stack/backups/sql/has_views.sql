-- Does the schema of the operators' views exist?
SELECT to_regnamespace('ops') IS NOT NULL
