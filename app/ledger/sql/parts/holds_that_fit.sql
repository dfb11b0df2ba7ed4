-- The CTEs that hold credits of tenants all of whose holds fit, where there is nobody to be judged; `fits` gives these tenants.
-- Before them stand the CTEs `holds` (id, tenant_id, job_id, key_id, amount) and `locked`, the balances that are locked. Tenants with
-- budgets or credit that expires are not among these; they take the longer way. All of a balance is written as it was read under lock:
-- an UPDATE judges CHECKs by the row that its statement saw first, before it finds that another has changed it.
fits AS MATERIALIZED (
    SELECT locked.*, amount
    FROM locked JOIN (SELECT tenant_id, sum(amount)::bigint AS amount FROM holds GROUP BY tenant_id) AS needed USING (tenant_id)
    WHERE granted - posted - held + overdraft >= amount AND expiring = 0
        AND NOT EXISTS (SELECT FROM budgets WHERE budgets.tenant_id = locked.tenant_id)
), made AS (
    INSERT INTO transfers (id, tenant_id, kind, amount, job_id, key_id)
    SELECT id, tenant_id, 'hold', amount, job_id, key_id FROM holds WHERE tenant_id IN (SELECT tenant_id FROM fits)
), set_apart AS (
    UPDATE balances SET granted = fits.granted, posted = fits.posted, held = fits.held + fits.amount,
        overdraft = fits.overdraft, expiring = fits.expiring
    FROM fits WHERE balances.tenant_id = fits.tenant_id
)
