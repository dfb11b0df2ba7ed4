CREATE TABLE tenants (
    id uuid NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    suspended_at timestamptz,
    CONSTRAINT tenants_pkey PRIMARY KEY (id),
    CONSTRAINT tenants_name_key UNIQUE (name),
    CONSTRAINT tenants_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$')
)

CREATE TABLE api_keys (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    name text NOT NULL DEFAULT '',
    prefix text NOT NULL,
    hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT api_keys_hash_key UNIQUE (hash),
    CONSTRAINT api_keys_hash_check CHECK (octet_length(hash) = 32),
    CONSTRAINT api_keys_scopes_check CHECK (
        scopes <@ ARRAY['jobs:write', 'jobs:read', 'webhooks', 'billing:read'] AND cardinality(scopes) > 0
    )
)

CREATE INDEX api_keys_tenant_id_idx ON api_keys (tenant_id)

CREATE TABLE models (
    slug text NOT NULL,
    title text NOT NULL DEFAULT '',
    schema jsonb,
    run_seconds double precision,
    enabled boolean NOT NULL DEFAULT true,
    retired_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT models_pkey PRIMARY KEY (slug),
    CONSTRAINT models_slug_check CHECK (slug ~ '^[A-Za-z0-9][A-Za-z0-9._-]*$' AND length(slug) <= 128),
    CONSTRAINT models_run_seconds_check CHECK (run_seconds > 0)
)

CREATE TABLE upstream_state (
    id smallint NOT NULL DEFAULT 1,
    paused_until timestamptz,
    paused_since timestamptz,
    paused_reason text,
    paused_detail text,
    pauses smallint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT upstream_state_pkey PRIMARY KEY (id),
    CONSTRAINT upstream_state_one_row_check CHECK (id = 1),
    CONSTRAINT upstream_state_paused_reason_check CHECK (paused_reason IN ('throttled', 'account')),
    CONSTRAINT upstream_state_paused_check CHECK ((paused_reason IS NULL) = (paused_until IS NULL))
)

INSERT INTO upstream_state DEFAULT VALUES

CREATE TABLE pauses (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    tenant_id uuid,
    model text,
    what text NOT NULL,
    paused_by text NOT NULL,
    note text NOT NULL DEFAULT '',
    CONSTRAINT pauses_pkey PRIMARY KEY (id),
    CONSTRAINT pauses_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT pauses_scope_key UNIQUE NULLS NOT DISTINCT (tenant_id, model),
    CONSTRAINT pauses_what_check CHECK (what IN ('submits', 'all'))
)

CREATE TABLE processes (
    id uuid NOT NULL,
    kind text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    beat_at timestamptz NOT NULL DEFAULT now(),
    stopped_at timestamptz,
    CONSTRAINT processes_pkey PRIMARY KEY (id),
    CONSTRAINT processes_kind_check CHECK (kind IN ('api', 'worker'))
)

CREATE INDEX processes_beat_at_idx ON processes (beat_at)

CREATE TABLE jobs (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    key_id uuid,
    created_at timestamptz NOT NULL,
    due_at timestamptz,
    deadline_at timestamptz,
    lease_until timestamptz,
    sent_at timestamptz,
    submitted_at timestamptz,
    started_at timestamptz,
    gone_since timestamptz,
    finished_at timestamptz,
    cancel_requested_at timestamptz,
    owner uuid,
    fence bigint NOT NULL DEFAULT 0,
    run_seconds double precision,
    detection_seconds double precision,
    cost_micro bigint,
    revision integer NOT NULL DEFAULT 1,
    polls integer NOT NULL DEFAULT 0,
    priority smallint NOT NULL DEFAULT 5,
    attempt smallint NOT NULL DEFAULT 0,
    retries smallint NOT NULL DEFAULT 0,
    takeovers smallint NOT NULL DEFAULT 0,
    late_result boolean NOT NULL DEFAULT false,
    surface text NOT NULL,
    model text NOT NULL,
    state text NOT NULL,
    upstream_id text,
    upstream_state text,
    error_code text,
    idempotency_key text,
    fingerprint bytea,
    CONSTRAINT jobs_pkey PRIMARY KEY (id),
    CONSTRAINT jobs_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT jobs_state_check CHECK (
        state IN ('queued', 'sending', 'unknown', 'running', 'completed', 'failed', 'canceled')
    ),
    CONSTRAINT jobs_surface_check CHECK (surface IN ('segmind', 'segmind_sync', 'native')),
    CONSTRAINT jobs_error_code_check CHECK (
        error_code IN (
            'upstream_failed', 'content_blocked', 'upstream_rejected', 'upstream_unavailable', 'submission_unknown',
            'result_lost', 'deadline_exceeded', 'poison'
        )
    ),
    CONSTRAINT jobs_upstream_state_check CHECK (upstream_state IN ('QUEUED', 'PROCESSING', 'COMPLETED')),
    CONSTRAINT jobs_priority_check CHECK (priority BETWEEN 0 AND 9),
    CONSTRAINT jobs_finished_check CHECK (
        (state IN ('completed', 'failed', 'canceled')) = (finished_at IS NOT NULL)
    ),
    CONSTRAINT jobs_due_check CHECK ((due_at IS NULL) = (finished_at IS NOT NULL)),
    CONSTRAINT jobs_final_is_free_check CHECK (finished_at IS NULL OR (lease_until IS NULL AND owner IS NULL)),
    CONSTRAINT jobs_queued_check CHECK (state <> 'queued' OR upstream_id IS NULL),
    CONSTRAINT jobs_sending_check CHECK (
        state NOT IN ('sending', 'unknown') OR (attempt > 0 AND upstream_id IS NULL)
    ),
    CONSTRAINT jobs_running_check CHECK (
        state NOT IN ('running', 'completed') OR (upstream_id IS NOT NULL AND submitted_at IS NOT NULL)
    ),
    CONSTRAINT jobs_failed_check CHECK ((state = 'failed') = (error_code IS NOT NULL)),
    CONSTRAINT jobs_canceled_check CHECK (state <> 'canceled' OR cancel_requested_at IS NOT NULL),
    CONSTRAINT jobs_idempotency_check CHECK ((idempotency_key IS NULL) = (fingerprint IS NULL))
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
)

CREATE INDEX jobs_queued_idx ON jobs (priority DESC, due_at) WHERE state = 'queued'

CREATE INDEX jobs_running_idx ON jobs (due_at) WHERE state = 'running'

CREATE INDEX jobs_sending_idx ON jobs (sent_at) WHERE state = 'sending'

CREATE INDEX jobs_unknown_idx ON jobs (due_at) WHERE state = 'unknown'

CREATE INDEX jobs_deadline_idx ON jobs (deadline_at) WHERE state = 'queued' AND deadline_at IS NOT NULL

CREATE INDEX jobs_suspect_idx ON jobs (due_at) WHERE takeovers > 0

CREATE INDEX jobs_tenant_idx ON jobs (tenant_id, created_at, id)

CREATE UNIQUE INDEX jobs_idempotency_idx ON jobs (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL

CREATE UNIQUE INDEX jobs_upstream_idx ON jobs (upstream_id) WHERE upstream_id IS NOT NULL

CREATE INDEX jobs_run_times_idx ON jobs (model, finished_at) WHERE state = 'completed'

CREATE TABLE job_inputs (
    job_id uuid NOT NULL,
    body bytea NOT NULL,
    metadata jsonb,
    CONSTRAINT job_inputs_pkey PRIMARY KEY (job_id)
)

CREATE TABLE job_results (
    job_id uuid NOT NULL,
    body bytea,
    message text,
    CONSTRAINT job_results_pkey PRIMARY KEY (job_id)
)

CREATE TABLE attempts (
    job_id uuid NOT NULL,
    attempt smallint NOT NULL,
    worker uuid NOT NULL,
    sent_at timestamptz NOT NULL,
    settled_at timestamptz,
    outcome text,
    upstream_id text,
    CONSTRAINT attempts_pkey PRIMARY KEY (job_id, attempt),
    CONSTRAINT attempts_outcome_check CHECK (
        outcome IN ('accepted', 'rejected', 'throttled', 'account', 'not_sent', 'unknown')
    ),
    CONSTRAINT attempts_settled_check CHECK ((outcome IS NULL) = (settled_at IS NULL)),
    CONSTRAINT attempts_accepted_check CHECK (
        (outcome IS NOT DISTINCT FROM 'accepted') = (upstream_id IS NOT NULL)
    )
) WITH (fillfactor = 80)

CREATE TABLE job_events (
    job_id uuid NOT NULL,
    seq integer NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    from_state text,
    to_state text NOT NULL,
    reason text NOT NULL,
    CONSTRAINT job_events_pkey PRIMARY KEY (job_id, seq),
    CONSTRAINT job_events_from_state_check CHECK (
        from_state IN ('queued', 'sending', 'unknown', 'running', 'completed', 'failed', 'canceled')
    ),
    CONSTRAINT job_events_to_state_check CHECK (
        to_state IN ('queued', 'sending', 'unknown', 'running', 'completed', 'failed', 'canceled')
    )
)

CREATE TABLE upstream_exchanges (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    job_id uuid NOT NULL,
    duration_seconds double precision NOT NULL,
    attempt smallint NOT NULL,
    status_code smallint,
    kind text NOT NULL,
    outcome text NOT NULL,
    detail text NOT NULL DEFAULT '',
    CONSTRAINT upstream_exchanges_pkey PRIMARY KEY (id),
    CONSTRAINT upstream_exchanges_kind_check CHECK (kind IN ('submit', 'poll', 'fetch')),
    CONSTRAINT upstream_exchanges_outcome_check CHECK (
        outcome IN (
            'accepted', 'running', 'succeeded', 'failed', 'rejected', 'throttled', 'account', 'not_sent', 'unknown',
            'gone', 'trouble'
        )
    )
)

CREATE INDEX upstream_exchanges_job_id_idx ON upstream_exchanges (job_id)

CREATE INDEX upstream_exchanges_at_idx ON upstream_exchanges (at)

CREATE TABLE upstream_observations (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    job_id uuid NOT NULL,
    attempt smallint NOT NULL,
    upstream_id text NOT NULL,
    worker uuid NOT NULL,
    CONSTRAINT upstream_observations_pkey PRIMARY KEY (id),
    CONSTRAINT upstream_observations_job_id_attempt_upstream_id_key UNIQUE (job_id, attempt, upstream_id)
)

CREATE TABLE refusals (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    minute timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    tenant_id uuid,
    key_id uuid,
    job_id uuid,
    count bigint NOT NULL DEFAULT 1,
    status_code smallint NOT NULL,
    surface text NOT NULL,
    model text,
    code text NOT NULL,
    CONSTRAINT refusals_pkey PRIMARY KEY (id),
    CONSTRAINT refusals_surface_check CHECK (surface IN ('segmind', 'segmind_sync', 'native')),
    CONSTRAINT refusals_equal_key UNIQUE NULLS NOT DISTINCT (
        minute, tenant_id, key_id, surface, model, status_code, code, job_id
    )
)

CREATE INDEX refusals_received_at_idx ON refusals (received_at)

COMMENT ON COLUMN attempts.sent_at IS 'committed just before the first byte'

COMMENT ON COLUMN attempts.outcome IS 'null: on the wire'

COMMENT ON COLUMN job_inputs.body IS 'the parameters, byte for byte as they came'

COMMENT ON COLUMN job_results.body IS 'the upstream''s last word, byte for byte; null where the end was our own doing'

COMMENT ON COLUMN job_results.message IS 'why it FAILED, for people'

COMMENT ON COLUMN models.schema IS 'JSON Schema 2020-12 of the input; null: anything goes'

COMMENT ON COLUMN models.run_seconds IS 'published mean run time, believed until we have measured our own'

COMMENT ON COLUMN models.retired_at IS 'since when the upstream no longer has it'

COMMENT ON COLUMN pauses.tenant_id IS 'null: of every tenant'

COMMENT ON COLUMN pauses.model IS 'null: every model'

COMMENT ON COLUMN pauses.paused_by IS 'who said so last'

COMMENT ON COLUMN pauses.note IS 'why, for people'

COMMENT ON COLUMN processes.id IS 'the incarnation: new at every start'

COMMENT ON COLUMN processes.stopped_at IS 'set by a process that ends in order'

COMMENT ON COLUMN refusals.minute IS 'equal refusals within it share this row'

COMMENT ON COLUMN refusals.received_at IS 'the first of them'

COMMENT ON COLUMN refusals.job_id IS 'the job a replayed idempotency key led to'

COMMENT ON COLUMN upstream_observations.upstream_id IS 'an id that cost money and came too late to be its job''s own'

COMMENT ON COLUMN upstream_state.id IS 'there is one row'

COMMENT ON COLUMN upstream_state.paused_detail IS 'the upstream''s words, for the operator'

COMMENT ON COLUMN upstream_state.pauses IS 'in a row, without a success between'

COMMENT ON COLUMN api_keys.prefix IS 'the part that may be shown'

COMMENT ON COLUMN api_keys.hash IS 'HMAC-SHA256 of the whole key'

COMMENT ON COLUMN jobs.revision IS 'seq of its latest event'

COMMENT ON COLUMN jobs.due_at IS 'when the engine must look next; infinity: when a pause is lifted; null when final'

COMMENT ON COLUMN jobs.lease_until IS 'until when its owner''s claim is believed'

COMMENT ON COLUMN jobs.owner IS 'the incarnation of the process that claimed it'

COMMENT ON COLUMN jobs.fence IS 'counts claims; a late writer''s is too low'

COMMENT ON COLUMN jobs.attempt IS 'attempts opened so far'

COMMENT ON COLUMN jobs.retries IS 'tries in a row that brought us no further'

COMMENT ON COLUMN jobs.takeovers IS 'holders in a row that let their claim run out; three are poison'

COMMENT ON COLUMN jobs.submitted_at IS 'when the upstream''s acceptance was recorded'

COMMENT ON COLUMN jobs.started_at IS 'when it was first seen PROCESSING upstream'

COMMENT ON COLUMN jobs.gone_since IS 'the first of the 404s in a row'

COMMENT ON COLUMN jobs.run_seconds IS 'from acceptance to the upstream''s end, as it told or as we could bound it'

COMMENT ON COLUMN jobs.detection_seconds IS 'from the upstream''s end until we knew'

COMMENT ON COLUMN jobs.cost_micro IS 'what the upstream reported, in micro-credits; null: not told'

COMMENT ON COLUMN jobs.fingerprint IS 'SHA-256 of the canonical JSON of model and input'

CREATE SCHEMA ops

COMMENT ON SCHEMA ops IS 'Views for dashboards. Changes here only add; inputs, outputs, keys and secrets never show.'

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['waystation_service', 'waystation_readonly'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        EXCEPTION
            -- roles belong to the whole cluster: another database of it may have made them, even just now
            WHEN duplicate_object OR unique_violation THEN NULL;
            -- an owner without CREATEROLE, for whom somebody has made them
            WHEN insufficient_privilege THEN
                IF to_regrole(role_name) IS NULL THEN RAISE; END IF;
        END;
    END LOOP;
    BEGIN
        EXECUTE format('GRANT waystation_service TO %I', current_user);
    EXCEPTION
        WHEN insufficient_privilege THEN
            IF NOT pg_has_role(current_user, 'waystation_service', 'MEMBER') THEN RAISE; END IF;
    END;
END
$$

REVOKE ALL ON SCHEMA public FROM PUBLIC

GRANT USAGE ON SCHEMA public TO waystation_service

GRANT SELECT, INSERT, UPDATE ON
    tenants, api_keys, models, upstream_state, processes, jobs, job_inputs, job_results, attempts, refusals
TO waystation_service

GRANT SELECT, INSERT ON job_events, upstream_exchanges, upstream_observations TO waystation_service

GRANT SELECT, INSERT, UPDATE, DELETE ON pauses TO waystation_service

GRANT DELETE ON processes TO waystation_service

GRANT SELECT ON alembic_version TO waystation_service
