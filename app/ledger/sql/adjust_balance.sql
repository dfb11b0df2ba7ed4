-- How is a balance corrected?
WITH made AS (
    INSERT INTO transfers (id, tenant_id, kind, amount, note) VALUES (:id, :tenant_id, 'adjust', :amount, :note)
    RETURNING {{ transfer_columns }}
), moved AS (
    -- shrink_lots has reduced the lots in the same way
    UPDATE balances SET granted = granted + :amount, expiring = least(expiring, greatest(granted + :amount - posted - held, 0))
    WHERE tenant_id = :tenant_id
)
SELECT {{ transfer_columns }} FROM made
