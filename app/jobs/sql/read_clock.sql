-- What does the database's clock say?
SELECT now()
