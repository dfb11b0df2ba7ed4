-- How are credits granted?
-- :left_micro is what remains after it has filled an overdraft.
WITH made AS (
    INSERT INTO transfers (id, tenant_id, kind, amount, reference, note, expires_at)
    VALUES (:id, :tenant_id, 'grant', :amount, :reference, :note, :expires_at)
    RETURNING {{ transfer_columns }}
), lot AS (
    INSERT INTO lots (id, tenant_id, expires_at, amount, left_micro)
    SELECT :id, :tenant_id, :expires_at, :amount, :left_micro WHERE :expires_at::timestamptz IS NOT NULL
), moved AS (
    UPDATE balances SET
        granted = granted + :amount, expiring = expiring + CASE WHEN :expires_at::timestamptz IS NULL THEN 0 ELSE :left_micro::bigint END
    WHERE tenant_id = :tenant_id
)
SELECT {{ transfer_columns }} FROM made
