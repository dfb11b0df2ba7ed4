CREATE TABLE balances (
    tenant_id uuid NOT NULL,
    granted bigint NOT NULL DEFAULT 0,
    posted bigint NOT NULL DEFAULT 0,
    held bigint NOT NULL DEFAULT 0,
    overdraft bigint NOT NULL DEFAULT 0,
    expiring bigint NOT NULL DEFAULT 0,
    CONSTRAINT balances_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT balances_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT balances_available_check CHECK (granted - posted - held >= -overdraft),
    CONSTRAINT balances_positive_check CHECK (posted >= 0 AND held >= 0 AND overdraft >= 0),
    CONSTRAINT balances_expiring_check CHECK (expiring BETWEEN 0 AND greatest(granted - posted - held, 0))
) WITH (fillfactor = 50)

CREATE FUNCTION open_balance() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
    INSERT INTO balances (tenant_id) VALUES (new.id);
    RETURN NULL;
END
$$

CREATE TRIGGER tenants_balance AFTER INSERT ON tenants FOR EACH ROW EXECUTE FUNCTION open_balance()

INSERT INTO balances (tenant_id) SELECT id FROM tenants

CREATE TABLE transfers (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    kind text NOT NULL,
    amount bigint NOT NULL,
    job_id uuid,
    key_id uuid,
    hold_id uuid,
    lot_id uuid,
    reference text,
    note text,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT transfers_pkey PRIMARY KEY (id),
    CONSTRAINT transfers_kind_check CHECK (kind IN ('grant', 'hold', 'post', 'release', 'expire', 'adjust')),
    CONSTRAINT transfers_amount_check CHECK (CASE kind WHEN 'adjust' THEN amount <> 0 ELSE amount >= 0 END),
    CONSTRAINT transfers_job_check CHECK (kind NOT IN ('hold', 'post', 'release') OR job_id IS NOT NULL),
    CONSTRAINT transfers_hold_check CHECK ((kind IN ('post', 'release')) = (hold_id IS NOT NULL)),
    CONSTRAINT transfers_lot_check CHECK ((kind = 'expire') = (lot_id IS NOT NULL)),
    CONSTRAINT transfers_reference_check CHECK ((kind = 'grant') = (reference IS NOT NULL)),
    CONSTRAINT transfers_expires_at_check CHECK (kind = 'grant' OR expires_at IS NULL)
)

CREATE UNIQUE INDEX transfers_resolution_idx ON transfers (hold_id) WHERE kind IN ('post', 'release')

CREATE INDEX transfers_job_idx ON transfers (job_id) WHERE job_id IS NOT NULL

CREATE INDEX transfers_tenant_idx ON transfers (tenant_id, created_at, id)

CREATE UNIQUE INDEX transfers_reference_idx ON transfers (tenant_id, reference) WHERE reference IS NOT NULL

CREATE FUNCTION check_resolution() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
DECLARE
    held transfers;
BEGIN
    SELECT * INTO held FROM transfers WHERE id = new.hold_id;
    IF held.kind IS DISTINCT FROM 'hold' OR held.tenant_id <> new.tenant_id OR held.job_id <> new.job_id THEN
        RAISE EXCEPTION 'transfer % resolves a hold that is none of its job''s', new.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'transfers_resolve';
    END IF;
    IF new.amount > held.amount OR (new.kind = 'release' AND new.amount <> held.amount) THEN
        RAISE EXCEPTION 'transfer % moves another amount than was held', new.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'transfers_resolve';
    END IF;
    RETURN new;
END
$$

CREATE TRIGGER transfers_resolve BEFORE INSERT ON transfers
FOR EACH ROW WHEN (new.hold_id IS NOT NULL) EXECUTE FUNCTION check_resolution()

CREATE TABLE lots (
    id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    amount bigint NOT NULL,
    left_micro bigint NOT NULL,
    expired_at timestamptz,
    CONSTRAINT lots_pkey PRIMARY KEY (id),
    CONSTRAINT lots_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES balances (tenant_id),
    CONSTRAINT lots_left_micro_check CHECK (left_micro BETWEEN 0 AND amount),
    CONSTRAINT lots_expired_check CHECK (expired_at IS NULL OR left_micro = 0)
)

CREATE INDEX lots_expires_at_idx ON lots (expires_at) WHERE expired_at IS NULL

CREATE INDEX lots_tenant_idx ON lots (tenant_id, expires_at, id)

CREATE TABLE allocations (
    hold_id uuid NOT NULL,
    lot_id uuid NOT NULL,
    amount bigint NOT NULL,
    CONSTRAINT allocations_pkey PRIMARY KEY (hold_id, lot_id),
    CONSTRAINT allocations_lot_id_fkey FOREIGN KEY (lot_id) REFERENCES lots (id),
    CONSTRAINT allocations_amount_check CHECK (amount > 0)
)

CREATE INDEX allocations_lot_idx ON allocations (lot_id)

CREATE TABLE budgets (
    subject_id uuid NOT NULL,
    period text NOT NULL,
    tenant_id uuid NOT NULL,
    limit_micro bigint NOT NULL,
    starts_on date NOT NULL,
    spent_micro bigint NOT NULL DEFAULT 0,
    alerted_percent smallint NOT NULL DEFAULT 0,
    CONSTRAINT budgets_pkey PRIMARY KEY (subject_id, period),
    CONSTRAINT budgets_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES balances (tenant_id),
    CONSTRAINT budgets_period_check CHECK (period IN ('day', 'month')),
    CONSTRAINT budgets_positive_check CHECK (limit_micro >= 0 AND spent_micro >= 0),
    CONSTRAINT budgets_alerted_percent_check CHECK (alerted_percent IN (0, 50, 80, 100))
)

CREATE INDEX budgets_tenant_idx ON budgets (tenant_id)

CREATE TABLE budget_alerts (
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT now(),
    tenant_id uuid NOT NULL,
    subject_id uuid NOT NULL,
    period text NOT NULL,
    starts_on date NOT NULL,
    percent smallint NOT NULL,
    spent_micro bigint NOT NULL,
    limit_micro bigint NOT NULL,
    CONSTRAINT budget_alerts_pkey PRIMARY KEY (id),
    CONSTRAINT budget_alerts_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES balances (tenant_id),
    CONSTRAINT budget_alerts_period_check CHECK (period IN ('day', 'month')),
    CONSTRAINT budget_alerts_percent_check CHECK (percent IN (50, 80, 100)),
    CONSTRAINT budget_alerts_subject_id_period_starts_on_percent_key UNIQUE (subject_id, period, starts_on, percent)
)

CREATE INDEX budget_alerts_tenant_idx ON budget_alerts (tenant_id, id)

CREATE TABLE exposures (
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT now(),
    tenant_id uuid NOT NULL,
    job_id uuid NOT NULL,
    upstream_id text,
    reason text NOT NULL,
    amount bigint NOT NULL,
    CONSTRAINT exposures_pkey PRIMARY KEY (id),
    CONSTRAINT exposures_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES balances (tenant_id),
    CONSTRAINT exposures_reason_check CHECK (
        reason IN ('cost_above_hold', 'cost_above_price', 'failed', 'lost', 'unknown', 'second_start')
    ),
    CONSTRAINT exposures_amount_check CHECK (amount >= 0),
    CONSTRAINT exposures_once_key UNIQUE NULLS NOT DISTINCT (job_id, reason, upstream_id)
)

CREATE INDEX exposures_tenant_idx ON exposures (tenant_id)

CREATE INDEX exposures_at_idx ON exposures (at)

CREATE TABLE usage_hours (
    hour timestamptz NOT NULL,
    tenant_id uuid NOT NULL,
    key_id uuid,
    model text NOT NULL,
    completed integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    canceled integer NOT NULL DEFAULT 0,
    charged_micro bigint NOT NULL DEFAULT 0,
    cost_micro bigint NOT NULL DEFAULT 0,
    run_seconds double precision NOT NULL DEFAULT 0,
    CONSTRAINT usage_hours_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES balances (tenant_id),
    CONSTRAINT usage_hours_key UNIQUE NULLS NOT DISTINCT (tenant_id, hour, key_id, model)
) WITH (fillfactor = 70)

CREATE INDEX usage_hours_hour_idx ON usage_hours (hour)

CREATE TABLE operators (
    id uuid NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    prefix text NOT NULL,
    hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    CONSTRAINT operators_pkey PRIMARY KEY (id),
    CONSTRAINT operators_name_key UNIQUE (name),
    CONSTRAINT operators_hash_key UNIQUE (hash),
    CONSTRAINT operators_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    CONSTRAINT operators_role_check CHECK (role IN ('admin', 'viewer')),
    CONSTRAINT operators_hash_check CHECK (octet_length(hash) = 32)
)

CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT now(),
    operator text NOT NULL,
    action text NOT NULL,
    target text NOT NULL DEFAULT '',
    tenant_id uuid,
    detail jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT audit_pkey PRIMARY KEY (id)
)

CREATE INDEX audit_at_idx ON audit (at)

ALTER TABLE models
    ADD COLUMN price_micro bigint,
    ADD COLUMN price_rule text NOT NULL DEFAULT 'metered',
    ADD COLUMN markup_micro bigint NOT NULL DEFAULT 1000000,
    ADD COLUMN cost_micro bigint,
    ADD COLUMN modality text,
    ADD COLUMN above_hold_count integer NOT NULL DEFAULT 0,
    ADD COLUMN disabled_reason text,
    ADD CONSTRAINT models_price_micro_check CHECK (price_micro >= 0),
    ADD CONSTRAINT models_price_rule_check CHECK (price_rule IN ('metered', 'fixed')),
    ADD CONSTRAINT models_markup_micro_check CHECK (markup_micro BETWEEN 0 AND 1000000000),
    ADD CONSTRAINT models_cost_micro_check CHECK (cost_micro >= 0)

ALTER TABLE tenants
    ADD COLUMN max_price_micro bigint,
    ADD COLUMN default_price_micro bigint,
    ADD COLUMN models text[],
    ADD CONSTRAINT tenants_prices_check CHECK (max_price_micro >= 0 AND default_price_micro >= 0)

ALTER TABLE jobs
    ADD COLUMN held_micro bigint NOT NULL DEFAULT 0,
    ADD COLUMN charged_micro bigint NOT NULL DEFAULT 0,
    ADD COLUMN price_rule text NOT NULL DEFAULT 'metered',
    ADD COLUMN markup_micro bigint NOT NULL DEFAULT 1000000,
    ADD CONSTRAINT jobs_charged_check CHECK (charged_micro BETWEEN 0 AND held_micro),
    ADD CONSTRAINT jobs_free_check CHECK (charged_micro = 0 OR (finished_at IS NOT NULL AND state <> 'failed')),
    ADD CONSTRAINT jobs_price_rule_check CHECK (price_rule IN ('metered', 'fixed'))

COMMENT ON COLUMN balances.granted IS 'grants and adjustments, less what has expired'

COMMENT ON COLUMN balances.posted IS 'charges'

COMMENT ON COLUMN balances.held IS 'holds that are not resolved'

COMMENT ON COLUMN balances.overdraft IS 'how far below nothing the tenant may go'

COMMENT ON COLUMN balances.expiring IS 'of what is available: credit in lots, which will expire'

COMMENT ON COLUMN transfers.amount IS 'micro-credits; of an adjustment: what the tenant gains'

COMMENT ON COLUMN transfers.key_id IS 'of a hold: the key its job came by'

COMMENT ON COLUMN transfers.hold_id IS 'the hold this resolves'

COMMENT ON COLUMN transfers.lot_id IS 'the grant whose credit this expires'

COMMENT ON COLUMN transfers.reference IS 'a grant''s own name at the tenant: the same twice is one grant'

COMMENT ON COLUMN transfers.expires_at IS 'of a grant'

COMMENT ON COLUMN lots.id IS 'its grant'

COMMENT ON COLUMN lots.amount IS 'of the grant'

COMMENT ON COLUMN lots.left_micro IS 'neither held nor spent nor expired'

COMMENT ON COLUMN lots.expired_at IS 'when what was left of it was taken away'

COMMENT ON COLUMN allocations.amount IS 'of the hold, out of the lot'

COMMENT ON COLUMN budgets.subject_id IS 'a tenant, or one of its keys'

COMMENT ON COLUMN budgets.starts_on IS 'the first day of the period that `spent_micro` is about'

COMMENT ON COLUMN budgets.spent_micro IS 'charges and open holds of jobs accepted in the period'

COMMENT ON COLUMN exposures.upstream_id IS 'of a second start'

COMMENT ON COLUMN exposures.amount IS 'micro-credits; what we would expect where nobody has told'

COMMENT ON COLUMN usage_hours.hour IS 'in which the jobs ended'

COMMENT ON COLUMN usage_hours.cost_micro IS 'what the upstream reported'

COMMENT ON COLUMN usage_hours.run_seconds IS 'sum over the completed'

COMMENT ON COLUMN operators.prefix IS 'the part of the key that may be shown'

COMMENT ON COLUMN operators.hash IS 'HMAC-SHA256 of the whole key'

COMMENT ON COLUMN audit.operator IS 'the operator''s name, `admin key`, or whoever ran the command'

COMMENT ON COLUMN audit.action IS 'noun and verb: tenant.create, credits.grant, job.resolve'

COMMENT ON COLUMN audit.target IS 'the id or name of what was acted on'

COMMENT ON COLUMN audit.detail IS 'what was asked; never a secret'

COMMENT ON COLUMN models.price_micro IS 'what a job is quoted, in micro-credits; null: no price is set'

COMMENT ON COLUMN models.markup_micro IS 'a million is once the cost'

COMMENT ON COLUMN models.cost_micro IS 'published mean cost in micro-credits'

COMMENT ON COLUMN models.above_hold_count IS 'jobs that cost more than was held'

COMMENT ON COLUMN tenants.max_price_micro IS 'the dearest job it may ask for; null: any'

COMMENT ON COLUMN tenants.default_price_micro IS 'of models without a price; null: the settings'' own'

COMMENT ON COLUMN tenants.models IS 'slugs it may ask for; null: any'

COMMENT ON COLUMN jobs.held_micro IS 'the hold: what it may cost at most'

COMMENT ON COLUMN jobs.charged_micro IS 'what its tenant has paid'

COMMENT ON COLUMN jobs.price_rule IS 'as it was when it was accepted'

GRANT SELECT, INSERT, UPDATE ON balances, lots, budgets, usage_hours, operators TO waystation_service

GRANT DELETE ON budgets TO waystation_service

GRANT SELECT, INSERT ON transfers, allocations, budget_alerts, exposures, audit TO waystation_service
