-- The end of a statement that claims the running jobs of the CTE `due` and takes their tokens. `takeovers` rises only if the
-- owner has died, since the job may have killed it. The counts of queues do not depend on owners of running jobs, so they do
-- not change. :fetches were sent since the last claim. Left after paying for them: :tokens, :free_tokens (of reads that do not
-- count) and :trial_reads. One read takes :token_price, :free_price and :trial_price of them.
claimed AS (
    UPDATE jobs SET lease_until = now() + make_interval(secs => :lease_seconds), owner = :owner, fence = jobs.fence + 1,
        takeovers = jobs.takeovers + (jobs.lease_until IS NOT NULL AND NOT {{ owner_is_alive(job=jobs) }})::integer
    WHERE id = ANY (ARRAY(SELECT id FROM due)) AND state = 'running'
    RETURNING jobs.id, jobs.fence, jobs.attempt, jobs.model, jobs.upstream_id, jobs.upstream_state, jobs.retries,
        jobs.takeovers, jobs.tenant_id, jobs.unreadable, jobs.cost_micro, jobs.held_micro, jobs.price_rule,
        jobs.markup_micro, {{ wants_start(job=jobs) }} AS wants_start,
        extract(epoch FROM now() - jobs.submitted_at)::double precision AS age_seconds,
        extract(epoch FROM now() - jobs.gone_since)::double precision AS gone_seconds
), reads AS MATERIALIZED (
    SELECT count(*) AS number, count(*) + :fetches::bigint AS granted FROM due
), spent AS (
    UPDATE upstream_state SET tokens = :tokens::double precision - :token_price::bigint * reads.number,
        read_tokens = :free_tokens::double precision - :free_price::bigint * reads.number,
        trial_reads = :trial_reads::bigint - :trial_price::bigint * reads.number,
        refilled_at = greatest(upstream_state.refilled_at, now())
    FROM reads WHERE reads.granted > 0
), tallied AS ({{ count_granted(kind=reads, rows=reads, number=granted) }})
SELECT claimed.*, reads.number FROM reads LEFT JOIN claimed ON true
