ALTER TABLE tenants ADD COLUMN refused_per_minute integer

-- few rows, and all of them null
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE tenants ADD CONSTRAINT tenants_refused_check CHECK (refused_per_minute BETWEEN 1 AND 10000000)

COMMENT ON COLUMN ops.requests.model IS 'Model asked for. Of a refused submit null where the key was not good, no model could be read, the catalogue does not have it, or the tenant has named many others within the minute.'

COMMENT ON COLUMN tenants.refused_per_minute IS 'submits that may be refused; null: ten times rate_per_minute'
