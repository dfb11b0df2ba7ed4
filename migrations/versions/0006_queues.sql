ALTER TABLE tenants
    ADD COLUMN weight double precision NOT NULL DEFAULT 1,
    ADD COLUMN rate_per_minute integer NOT NULL DEFAULT 600,
    ADD COLUMN burst integer NOT NULL DEFAULT 100,
    ADD COLUMN max_in_flight integer NOT NULL DEFAULT 200,
    ADD COLUMN max_queued integer NOT NULL DEFAULT 10000,
    ADD CONSTRAINT tenants_weight_check CHECK (weight BETWEEN 0.001 AND 1000),
    ADD CONSTRAINT tenants_rate_check CHECK (rate_per_minute BETWEEN 1 AND 10000000 AND burst BETWEEN 1 AND 10000000),
    ADD CONSTRAINT tenants_places_check CHECK (
        max_in_flight BETWEEN 0 AND 10000000 AND max_queued BETWEEN 0 AND 100000000
    )

ALTER TABLE api_keys
    ADD COLUMN rate_per_minute integer,
    ADD COLUMN burst integer,
    ADD COLUMN max_in_flight integer,
    ADD COLUMN max_queued integer,
    ADD CONSTRAINT api_keys_rate_check CHECK (rate_per_minute BETWEEN 1 AND 10000000 AND burst BETWEEN 1 AND 10000000),
    ADD CONSTRAINT api_keys_places_check CHECK (
        max_in_flight BETWEEN 0 AND 10000000 AND max_queued BETWEEN 0 AND 100000000
    )

ALTER TABLE jobs
    ADD COLUMN rank_at timestamptz,
    ADD COLUMN ready boolean NOT NULL DEFAULT false

UPDATE jobs SET
    lease_until = NULL,
    owner = NULL,
    rank_at = created_at - priority * interval '1 minute',
    ready = due_at <= now()
WHERE state = 'queued'

ALTER TABLE jobs
    ADD CONSTRAINT jobs_rank_check CHECK (state <> 'queued' OR rank_at IS NOT NULL),
    ADD CONSTRAINT jobs_ready_check CHECK (NOT ready OR state = 'queued'),
    ADD CONSTRAINT jobs_claimed_check CHECK (state <> 'queued' OR owner IS NULL OR ready)

-- the table is locked by what comes before
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX jobs_queued_idx

CREATE INDEX jobs_line_idx ON jobs (tenant_id, rank_at) WHERE ready

CREATE INDEX jobs_waiting_idx ON jobs (due_at) WHERE state = 'queued' AND NOT ready

CREATE INDEX jobs_aside_idx ON jobs (key_id, rank_at) WHERE state = 'queued' AND due_at = 'infinity'

CREATE TABLE queues (
    subject_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    weight double precision NOT NULL DEFAULT 1,
    virtual_time double precision NOT NULL DEFAULT 0,
    max_in_flight integer,
    max_queued integer,
    queued integer NOT NULL DEFAULT 0,
    ready integer NOT NULL DEFAULT 0,
    claimed integer NOT NULL DEFAULT 0,
    in_flight integer NOT NULL DEFAULT 0,
    runnable boolean NOT NULL GENERATED ALWAYS AS (
        subject_id = tenant_id AND ready > claimed AND in_flight + claimed < coalesce(max_in_flight, 2147483647)
    ) STORED,
    kept_out boolean NOT NULL GENERATED ALWAYS AS (subject_id <> tenant_id AND queued > ready) STORED,
    CONSTRAINT queues_pkey PRIMARY KEY (subject_id),
    CONSTRAINT queues_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT queues_counts_check CHECK (claimed >= 0 AND in_flight >= 0 AND ready >= claimed AND queued >= ready)
) WITH (fillfactor = 50)

CREATE INDEX queues_runnable_idx ON queues (virtual_time) WHERE runnable

CREATE INDEX queues_tenant_idx ON queues (tenant_id)

CREATE INDEX queues_kept_out_idx ON queues (subject_id) WHERE kept_out

CREATE FUNCTION keep_queue() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO queues (subject_id, tenant_id, weight, max_in_flight, max_queued)
        VALUES (new.id, new.id, new.weight, new.max_in_flight, new.max_queued);
    ELSIF TG_TABLE_NAME = 'tenants' THEN
        UPDATE queues SET weight = new.weight, max_in_flight = new.max_in_flight, max_queued = new.max_queued
        WHERE subject_id = new.id;
    ELSE
        UPDATE queues SET max_in_flight = new.max_in_flight, max_queued = new.max_queued WHERE subject_id = new.id;
    END IF;
    RETURN NULL;
END
$$

CREATE TRIGGER tenants_queue AFTER INSERT OR UPDATE OF weight, max_in_flight, max_queued ON tenants
FOR EACH ROW EXECUTE FUNCTION keep_queue()

CREATE TRIGGER api_keys_queue AFTER UPDATE OF max_in_flight, max_queued ON api_keys
FOR EACH ROW EXECUTE FUNCTION keep_queue()

INSERT INTO queues (subject_id, tenant_id, weight, max_in_flight, max_queued, queued, ready, in_flight)
SELECT
    tenant.id, tenant.id, tenant.weight, tenant.max_in_flight, tenant.max_queued,
    count(*) FILTER (WHERE job.state = 'queued'), count(*) FILTER (WHERE job.ready),
    count(*) FILTER (WHERE job.state IN ('sending', 'unknown', 'running'))
FROM tenants AS tenant
LEFT JOIN jobs AS job
    ON job.tenant_id = tenant.id AND job.state IN ('queued', 'sending', 'unknown', 'running')
GROUP BY tenant.id

ALTER TABLE upstream_state ADD COLUMN virtual_time double precision NOT NULL DEFAULT 0

COMMENT ON COLUMN tenants.weight IS 'its share of what all tenants may spend upstream, beside the others'''

COMMENT ON COLUMN tenants.rate_per_minute IS 'submits'

COMMENT ON COLUMN tenants.burst IS 'submits at once, after a rest'

COMMENT ON COLUMN tenants.max_in_flight IS 'jobs at the upstream at once; more wait'

COMMENT ON COLUMN tenants.max_queued IS 'jobs that may wait; more are refused'

COMMENT ON COLUMN api_keys.rate_per_minute IS 'submits, beside its tenant''s limit; null: only that one'

COMMENT ON COLUMN api_keys.burst IS 'submits at once, after a rest; null: only its tenant''s'

COMMENT ON COLUMN api_keys.max_in_flight IS 'jobs at the upstream at once; null: only its tenant''s'

COMMENT ON COLUMN api_keys.max_queued IS 'jobs that may wait; null: only its tenant''s'

COMMENT ON COLUMN jobs.rank_at IS 'its place in its tenant''s line: since when it may be sent, a minute earlier for each level of priority'

COMMENT ON COLUMN jobs.ready IS 'whether it stands in line: queued, due, and not set aside'

COMMENT ON COLUMN queues.subject_id IS 'a tenant, or one of its keys that has limits of its own'

COMMENT ON COLUMN queues.weight IS 'as configured for the tenant'

COMMENT ON COLUMN queues.virtual_time IS 'micro-credits sent upstream so far by its weight; the lowest goes next'

COMMENT ON COLUMN queues.max_in_flight IS 'as configured; null: no limit'

COMMENT ON COLUMN queues.max_queued IS 'as configured; null: no limit'

COMMENT ON COLUMN queues.queued IS 'jobs in that state'

COMMENT ON COLUMN queues.ready IS 'of those: in line'

COMMENT ON COLUMN queues.claimed IS 'of those: held by a worker, about to be sent'

COMMENT ON COLUMN queues.in_flight IS 'jobs sending, unknown or running'

COMMENT ON COLUMN queues.runnable IS 'whether a tenant''s next job may be sent'

COMMENT ON COLUMN upstream_state.virtual_time IS 'where a tenant begins that had nothing to send for a while'

COMMENT ON COLUMN queues.kept_out IS 'whether jobs of a key are not in line: set aside at its limit, or not due'

GRANT SELECT, INSERT, UPDATE ON queues TO waystation_service
