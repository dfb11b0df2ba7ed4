-- How are these new jobs stored?
WITH accepted AS ({{ submissions }}), {{ stored }}, {{ counted }}
SELECT
