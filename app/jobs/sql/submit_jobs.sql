-- How are these new jobs stored?
WITH accepted AS ({{ submissions }}), {{ stored }}, changes AS ({{ changes_of_new(rows=stored) }}), {{ counted }}, {{ inputs_of_stored }}
SELECT
