CREATE FUNCTION metadata_term(key text, value text) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN hashtextextended(value, hashtextextended(key, 0))

COMMENT ON FUNCTION metadata_term(text, text) IS 'A member of metadata as a number; two members may share one.'

CREATE TABLE job_metadata (
    tenant_id uuid NOT NULL,
    term bigint NOT NULL,
    created_at timestamptz NOT NULL,
    job_id uuid NOT NULL,
    CONSTRAINT job_metadata_pkey PRIMARY KEY (tenant_id, term, created_at, job_id)
)

COMMENT ON COLUMN job_metadata.term IS 'metadata_term of a key and its value as text; two members may share one'

COMMENT ON COLUMN job_metadata.created_at IS 'the job''s, so that lists find the newest first'

GRANT SELECT, INSERT ON job_metadata TO waystation_service

-- without a lock: submits go on, and what they store meanwhile is made up for below
INSERT INTO job_metadata (tenant_id, term, created_at, job_id)
SELECT job.tenant_id, metadata_term(member.key, member.value), job.created_at, job.id
FROM job_inputs AS input
JOIN jobs AS job ON job.id = input.job_id
CROSS JOIN LATERAL jsonb_each_text(input.metadata) AS member
WHERE member.value IS NOT NULL
ON CONFLICT DO NOTHING

CREATE FUNCTION keep_job_metadata() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO job_metadata (tenant_id, term, created_at, job_id)
    SELECT job.tenant_id, metadata_term(member.key, member.value), job.created_at, job.id
    FROM jobs AS job CROSS JOIN LATERAL jsonb_each_text(NEW.metadata) AS member
    WHERE job.id = NEW.job_id AND member.value IS NOT NULL
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$

CREATE TRIGGER job_inputs_metadata AFTER INSERT ON job_inputs
FOR EACH ROW WHEN (NEW.metadata IS NOT NULL) EXECUTE FUNCTION keep_job_metadata()

-- what was stored since this began: ids begin with their milliseconds, and no clock is off by an hour
INSERT INTO job_metadata (tenant_id, term, created_at, job_id)
SELECT job.tenant_id, metadata_term(member.key, member.value), job.created_at, job.id
FROM job_inputs AS input
JOIN jobs AS job ON job.id = input.job_id
CROSS JOIN LATERAL jsonb_each_text(input.metadata) AS member
WHERE member.value IS NOT NULL
    AND input.job_id >= (
        lpad(to_hex((extract(epoch FROM now() - interval '1 hour') * 1000)::bigint), 12, '0') || repeat('0', 20)
    )::uuid
ON CONFLICT DO NOTHING

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX jobs_status_idx ON jobs (tenant_id, state, created_at, id) WHERE finished_at IS NOT NULL

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX jobs_model_idx ON jobs (tenant_id, model, created_at, id) WHERE finished_at IS NOT NULL

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX jobs_parked_idx ON jobs (tenant_id, created_at, id) WHERE state = 'queued' AND NOT ready
