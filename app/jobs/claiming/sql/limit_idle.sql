-- How long may a process that claims or learns keep the others waiting between two statements?
-- One that is stopped then is rolled back. It goes along with BEGIN, where a statement may have no parameter.
SET LOCAL idle_in_transaction_session_timeout = '1s'
