-- How many discrepancies are open?
SELECT count(*) FROM discrepancies AS discrepancy WHERE {{ open(discrepancy=discrepancy) }}
