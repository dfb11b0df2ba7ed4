CREATE TABLE event_feeds (
    tenant_id uuid NOT NULL,
    last bigint NOT NULL,
    CONSTRAINT event_feeds_pkey PRIMARY KEY (tenant_id)
) WITH (fillfactor = 50)

CREATE TABLE webhook_events (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    position bigint NOT NULL,
    job_id uuid,
    sequence integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    type text NOT NULL,
    body bytea,
    CONSTRAINT webhook_events_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_events_type_check CHECK (
        type IN ('job.completed', 'job.failed', 'job.canceled', 'job.processing', 'webhook.test', 'budget.alert', 'endpoint.disabled')
    ),
    CONSTRAINT webhook_events_body_check CHECK (job_id IS NOT NULL OR body IS NOT NULL),
    CONSTRAINT webhook_events_body_bytes_check CHECK (octet_length(body) <= 20000),
    CONSTRAINT webhook_events_tenant_id_position_key UNIQUE (tenant_id, position)
)

CREATE UNIQUE INDEX webhook_events_job_idx ON webhook_events (job_id, type) WHERE job_id IS NOT NULL

CREATE TABLE webhook_targets (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    kind text NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    slow_failures integer NOT NULL DEFAULT 0,
    spell_failures integer NOT NULL DEFAULT 0,
    open_until timestamptz,
    failed_since timestamptz,
    failing_since timestamptz,
    succeeded_at timestamptz,
    disabled_at timestamptz,
    disabled_reason text,
    CONSTRAINT webhook_targets_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_targets_kind_check CHECK (kind IN ('endpoint', 'job_urls')),
    CONSTRAINT webhook_targets_disabled_reason_check CHECK (disabled_reason IN ('gone', 'failing', 'tenant')),
    CONSTRAINT webhook_targets_disabled_check CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
)

CREATE TABLE webhook_endpoints (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    url text NOT NULL,
    events text[] NOT NULL,
    description text NOT NULL DEFAULT '',
    CONSTRAINT webhook_endpoints_events_check CHECK (
        cardinality(events) > 0 AND events <@ ARRAY[
            'job.completed', 'job.failed', 'job.canceled', 'job.processing', 'budget.alert', 'endpoint.disabled'
        ]
    ),
    CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_endpoints_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
)

CREATE INDEX webhook_endpoints_tenant_id_idx ON webhook_endpoints (tenant_id)

CREATE TABLE webhook_secrets (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    endpoint_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    sealed bytea NOT NULL,
    CONSTRAINT webhook_secrets_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_secrets_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
)

CREATE UNIQUE INDEX webhook_secrets_newest_idx ON webhook_secrets (tenant_id, endpoint_id) NULLS NOT DISTINCT WHERE expires_at IS NULL

CREATE INDEX webhook_secrets_owner_idx ON webhook_secrets (tenant_id, endpoint_id)

CREATE TABLE job_webhooks (
    job_id uuid NOT NULL,
    target_id uuid NOT NULL,
    url text NOT NULL,
    events text[] NOT NULL,
    CONSTRAINT job_webhooks_pkey PRIMARY KEY (job_id)
)

CREATE TABLE webhook_deliveries (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    event_id uuid NOT NULL,
    target_id uuid NOT NULL,
    job_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz,
    lease_until timestamptz,
    delivered_at timestamptz,
    owner uuid,
    fence bigint NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    step smallint NOT NULL DEFAULT 0,
    last_status_code smallint,
    type text NOT NULL,
    status text NOT NULL,
    url text,
    last_error text,
    CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_deliveries_type_check CHECK (
        type IN ('job.completed', 'job.failed', 'job.canceled', 'job.processing', 'webhook.test', 'budget.alert', 'endpoint.disabled')
    ),
    CONSTRAINT webhook_deliveries_status_check CHECK (status IN ('pending', 'sending', 'delivered', 'exhausted')),
    CONSTRAINT webhook_deliveries_due_check CHECK ((status = 'pending') = (due_at IS NOT NULL)),
    CONSTRAINT webhook_deliveries_lease_check CHECK ((status = 'sending') = (lease_until IS NOT NULL)),
    CONSTRAINT webhook_deliveries_delivered_check CHECK (status <> 'delivered' OR delivered_at IS NOT NULL),
    CONSTRAINT webhook_deliveries_exhausted_check CHECK (status <> 'exhausted' OR last_error IS NOT NULL),
    CONSTRAINT webhook_deliveries_event_id_target_id_key UNIQUE (event_id, target_id)
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_vacuum_cost_delay = 0
)

CREATE INDEX webhook_deliveries_due_idx ON webhook_deliveries (due_at) WHERE status = 'pending'

CREATE INDEX webhook_deliveries_job_idx ON webhook_deliveries (job_id) WHERE job_id IS NOT NULL

CREATE INDEX webhook_deliveries_pending_idx ON webhook_deliveries (target_id, due_at) WHERE status = 'pending'

CREATE INDEX webhook_deliveries_sending_idx ON webhook_deliveries (lease_until) WHERE status = 'sending'

CREATE INDEX webhook_deliveries_tenant_idx ON webhook_deliveries (tenant_id, created_at, id)

CREATE TABLE webhook_attempts (
    delivery_id uuid NOT NULL,
    attempt integer NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    duration_seconds double precision,
    status_code smallint,
    outcome text NOT NULL,
    address text,
    detail text NOT NULL DEFAULT '',
    answer bytea,
    CONSTRAINT webhook_attempts_pkey PRIMARY KEY (delivery_id, attempt),
    CONSTRAINT webhook_attempts_outcome_check CHECK (
        outcome IN ('delivered', 'refused', 'timed_out', 'unreachable', 'forbidden', 'interrupted')
    ),
    CONSTRAINT webhook_attempts_answer_check CHECK (octet_length(answer) <= 4096)
)

CREATE INDEX webhook_attempts_at_idx ON webhook_attempts (at)

COMMENT ON COLUMN event_feeds.last IS 'position of the tenant''s latest event'

COMMENT ON COLUMN webhook_events.position IS '1, 2, 3 … of its tenant, in the order of the commits'

COMMENT ON COLUMN webhook_events.sequence IS 'rises with every event of a job'

COMMENT ON COLUMN webhook_events.body IS 'frozen when it is first needed; null: nobody has been shown it yet'

COMMENT ON COLUMN webhook_targets.failures IS 'failed attempts since the last success'

COMMENT ON COLUMN webhook_targets.slow_failures IS 'of these, in a row, the slow ones'

COMMENT ON COLUMN webhook_targets.spell_failures IS 'of these, those since failed_since'

COMMENT ON COLUMN webhook_targets.open_until IS 'circuit breaker: nothing is sent until then'

COMMENT ON COLUMN webhook_targets.failed_since IS 'the first of a spell of failures within 24 hours'

COMMENT ON COLUMN webhook_targets.failing_since IS 'set once such a spell has lasted 12 hours; five days after it the endpoint is disabled'

COMMENT ON COLUMN webhook_endpoints.id IS 'its target''s, too'

COMMENT ON COLUMN webhook_secrets.endpoint_id IS 'null: signs what goes to URLs of single jobs'

COMMENT ON COLUMN webhook_secrets.expires_at IS 'a newer one has taken its place, and until then both sign'

COMMENT ON COLUMN webhook_secrets.sealed IS 'AES-GCM under SECRET_KEY, bound to this row''s id'

COMMENT ON COLUMN job_webhooks.target_id IS 'of the URL''s server and the tenant'

COMMENT ON COLUMN webhook_deliveries.due_at IS 'when it is tried next; null unless pending'

COMMENT ON COLUMN webhook_deliveries.lease_until IS 'until when the claim of it is believed'

COMMENT ON COLUMN webhook_deliveries.owner IS 'the incarnation of the worker that claimed it'

COMMENT ON COLUMN webhook_deliveries.fence IS 'counts claims; a late writer''s is too low'

COMMENT ON COLUMN webhook_deliveries.attempts IS 'POSTs begun'

COMMENT ON COLUMN webhook_deliveries.step IS 'failed ones since it was last set going'

COMMENT ON COLUMN webhook_deliveries.url IS 'of a single job; null: the endpoint''s'

COMMENT ON COLUMN webhook_attempts.at IS 'when what came of it was recorded'

COMMENT ON COLUMN webhook_attempts.address IS 'the IP address that was dialled'

COMMENT ON COLUMN webhook_attempts.answer IS 'the first 4 kB of the receiver''s body'

INSERT INTO webhook_events (id, tenant_id, position, job_id, sequence, created_at, type)
SELECT
    gen_random_uuid(), tenant_id, row_number() OVER (PARTITION BY tenant_id ORDER BY finished_at, id), id, revision,
    finished_at, 'job.' || state
FROM jobs WHERE finished_at IS NOT NULL

INSERT INTO event_feeds (tenant_id, last) SELECT tenant_id, max(position) FROM webhook_events GROUP BY tenant_id

GRANT SELECT, INSERT, UPDATE ON event_feeds, webhook_events, webhook_targets, webhook_endpoints, webhook_deliveries
TO waystation_service

GRANT SELECT, INSERT ON job_webhooks TO waystation_service

GRANT SELECT, INSERT, DELETE ON webhook_attempts TO waystation_service

GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_secrets TO waystation_service
