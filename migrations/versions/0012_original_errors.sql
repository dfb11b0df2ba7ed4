ALTER TABLE job_results ADD COLUMN original bytea

COMMENT ON COLUMN job_results.original IS 'the upstream''s error as it came, where body and message leave something out: AES-GCM under SECRET_KEY, bound to the job''s id'

CREATE TABLE upstream_balances (
    micro bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT upstream_balances_pkey PRIMARY KEY (micro, at)
)

COMMENT ON COLUMN upstream_balances.micro IS 'micro-credits that were left of the company''s, without their sign'

COMMENT ON COLUMN upstream_balances.at IS 'when some process had read it; a day later it is dropped'

CREATE INDEX upstream_balances_at_idx ON upstream_balances (at)

GRANT SELECT, INSERT, DELETE ON upstream_balances TO waystation_service
