-- Does the daily run begin, because it is due and no other run is open?
-- A cut run continues immediately where it stopped. An incomplete or abandoned one is repeated after a short delay.
WITH last AS (
    SELECT started_at, finished_at, result, read_until FROM reconciliations
    WHERE asked_by IS NULL ORDER BY id DESC LIMIT 1
), reached AS (
    SELECT read_until FROM reconciliations
    WHERE asked_by IS NULL AND read_until IS NOT NULL ORDER BY id DESC LIMIT 1
), due AS (
    SELECT
        now() - make_interval(secs => :settle_seconds) AS until,
        coalesce(
            (SELECT read_until FROM last WHERE result = 'cut'),
            (SELECT read_until - make_interval(secs => :overlap_seconds) FROM reached),
            now() - make_interval(secs => :settle_seconds + :first_seconds)
        ) AS since
    WHERE coalesce((SELECT CASE
        WHEN result = 'cut' THEN true
        WHEN result IN ('incomplete', 'abandoned') THEN finished_at < now() - make_interval(secs => :retry_seconds)
        ELSE started_at < now() - make_interval(secs => :daily_seconds)
    END FROM last), true)
)
INSERT INTO reconciliations (since, until, lease_until)
SELECT since, until, now() + make_interval(secs => :lease_seconds) FROM due WHERE since < until
ON CONFLICT ((finished_at IS NULL)) WHERE finished_at IS NULL DO NOTHING
RETURNING id, since, until
