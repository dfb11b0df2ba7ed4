CREATE TABLE forbidden_answers (
    tenant_id uuid NOT NULL,
    model text NOT NULL,
    last_at timestamptz NOT NULL,
    last_body bytea NOT NULL,
    other_at timestamptz,
    alone boolean NOT NULL DEFAULT false,
    CONSTRAINT forbidden_answers_pkey PRIMARY KEY (tenant_id, model),
    CONSTRAINT forbidden_answers_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
    CONSTRAINT forbidden_answers_last_body_check CHECK (octet_length(last_body) = 32)
)

CREATE INDEX forbidden_answers_model_idx ON forbidden_answers (model)

CREATE INDEX forbidden_answers_last_at_idx ON forbidden_answers (last_at)

ALTER TABLE pauses
    ADD COLUMN probe_at timestamptz,
    ADD COLUMN probe_job_id uuid,
    ADD COLUMN refusals integer NOT NULL DEFAULT 0

COMMENT ON TABLE forbidden_answers IS 'The latest 403s with a JSON body to submits of a tenant for a model; one row each, forgotten after an hour. An accepted submit of the tenant for the model deletes its row'

COMMENT ON COLUMN forbidden_answers.last_at IS 'the latest of them'

COMMENT ON COLUMN forbidden_answers.last_body IS 'SHA-256 of that submit''s canonical body without its seed'

COMMENT ON COLUMN forbidden_answers.other_at IS 'the latest one to another body; null: there was none'

COMMENT ON COLUMN forbidden_answers.alone IS 'whether a submit of another tenant for the model was accepted since: then it says nothing about other tenants'

COMMENT ON COLUMN pauses.probe_at IS 'of a pause that the upstream caused: when one job of the scope may be sent next, to find out whether it is over. Null: only an operator lifts it'

COMMENT ON COLUMN pauses.probe_job_id IS 'the job that may be sent in spite of the pause'

COMMENT ON COLUMN pauses.refusals IS 'probes in a row that were answered 403'

GRANT SELECT, INSERT, UPDATE, DELETE ON forbidden_answers TO waystation_service
