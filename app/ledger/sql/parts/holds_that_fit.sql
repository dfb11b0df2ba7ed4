-- CTEs that insert the holds of each tenant all of whose holds fit together; `fits` has these tenants. Other tenants, and those
-- with budgets or expiring credit, need a decision for each hold. Before these CTEs the statement has `holds` (id, tenant_id,
-- job_id, key_id, amount) and `locked` (locked balances). The UPDATE writes all columns of the balance as read under the lock:
-- Postgres checks the CHECKs first with the row of the statement's snapshot, which another transaction may have changed since.
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
