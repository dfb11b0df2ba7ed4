-- What time is it by the database's clock?
SELECT now()
