-- A query for the sums of all transfers of each tenant. An adjustment of a job's charge lowers `posted`.
SELECT
    transfer.tenant_id,
    coalesce(sum(CASE
        WHEN transfer.kind = 'grant' THEN transfer.amount
        WHEN transfer.kind = 'expire' THEN -transfer.amount
        WHEN transfer.kind = 'adjust' AND transfer.job_id IS NULL THEN transfer.amount
    END), 0) AS granted,
    coalesce(sum(CASE
        WHEN transfer.kind = 'post' THEN transfer.amount
        WHEN transfer.kind = 'adjust' AND transfer.job_id IS NOT NULL THEN -transfer.amount
    END), 0) AS posted,
    coalesce(sum(transfer.amount) FILTER (WHERE transfer.kind = 'hold'), 0)
        - coalesce(sum(held.amount) FILTER (WHERE transfer.kind IN ('post', 'release')), 0) AS held
FROM transfers AS transfer LEFT JOIN transfers AS held ON held.id = transfer.hold_id
GROUP BY transfer.tenant_id
