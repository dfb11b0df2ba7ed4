-- How is a charge that was too high lowered?
WITH made AS (
    INSERT INTO transfers (id, tenant_id, kind, amount, job_id, note) VALUES (:id, :tenant_id, 'adjust', :amount, :job_id, :note)
    RETURNING {{ transfer_columns }}
), moved AS (
    UPDATE balances SET posted = posted - :amount WHERE tenant_id = :tenant_id
)
SELECT {{ transfer_columns }} FROM made
