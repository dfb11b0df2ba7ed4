CREATE VIEW ops.ledger AS
SELECT
    transfer.id AS transfer_id,
    tenant.name AS tenant,
    transfer.tenant_id,
    transfer.job_id,
    transfer.kind,
    round(transfer.amount / 1000000.0, 6) AS amount,
    transfer.created_at AS at,
    transfer.key_id,
    transfer.hold_id,
    transfer.reference,
    transfer.note,
    transfer.expires_at
FROM transfers AS transfer
JOIN tenants AS tenant ON tenant.id = transfer.tenant_id

COMMENT ON VIEW ops.ledger IS 'Every movement of credits. Rows are added and never changed; a balance is their sum.'

COMMENT ON COLUMN ops.ledger.transfer_id IS 'Id of the transfer.'

COMMENT ON COLUMN ops.ledger.tenant IS 'Name of the tenant.'

COMMENT ON COLUMN ops.ledger.tenant_id IS 'Id of the tenant.'

COMMENT ON COLUMN ops.ledger.job_id IS 'The job it is about, if it is about one.'

COMMENT ON COLUMN ops.ledger.kind IS 'grant, hold, post, release, expire or adjust.'

COMMENT ON COLUMN ops.ledger.amount IS 'Credits; of an adjustment, what the tenant gains by it.'

COMMENT ON COLUMN ops.ledger.at IS 'When it was made.'

COMMENT ON COLUMN ops.ledger.key_id IS 'Of a hold: id of the API key its job came by.'

COMMENT ON COLUMN ops.ledger.hold_id IS 'Of a post or release: the hold it resolves.'

COMMENT ON COLUMN ops.ledger.reference IS 'Of a grant: its own name; the same name twice is one grant.'

COMMENT ON COLUMN ops.ledger.note IS 'Why, for people.'

COMMENT ON COLUMN ops.ledger.expires_at IS 'Of a grant: when what is left of it is taken back.'
