-- Is the schema of the operators' views there?
SELECT to_regnamespace('ops') IS NOT NULL
