CREATE VIEW ops.balances AS
SELECT
    tenant.name AS tenant,
    balance.tenant_id,
    round(balance.granted / 1000000.0, 6) AS granted,
    round(balance.held / 1000000.0, 6) AS held,
    round(balance.posted / 1000000.0, 6) AS posted,
    round((balance.granted - balance.posted - balance.held) / 1000000.0, 6) AS available,
    round(balance.overdraft / 1000000.0, 6) AS overdraft,
    round(balance.expiring / 1000000.0, 6) AS expiring
FROM balances AS balance
JOIN tenants AS tenant ON tenant.id = balance.tenant_id

COMMENT ON VIEW ops.balances IS 'Every tenant''s credits as they stand.'

COMMENT ON COLUMN ops.balances.tenant IS 'Name of the tenant.'

COMMENT ON COLUMN ops.balances.tenant_id IS 'Id of the tenant.'

COMMENT ON COLUMN ops.balances.granted IS 'Credits granted and adjusted, less those that expired.'

COMMENT ON COLUMN ops.balances.held IS 'Set apart for jobs that have not ended.'

COMMENT ON COLUMN ops.balances.posted IS 'Charged.'

COMMENT ON COLUMN ops.balances.available IS 'granted - posted - held; never below minus the overdraft.'

COMMENT ON COLUMN ops.balances.overdraft IS 'How far below nothing the tenant may go.'

COMMENT ON COLUMN ops.balances.expiring IS 'Of what is available: credits with an expiry.'
