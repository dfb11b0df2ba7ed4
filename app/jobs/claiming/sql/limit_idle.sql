-- How long may a transaction that claims or learns be idle between two statements?
-- If its process is suspended longer, it is rolled back. It is sent together with BEGIN, so it can have no parameter.
SET LOCAL idle_in_transaction_session_timeout = '1s'
