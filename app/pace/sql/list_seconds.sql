-- How many requests were granted in each of the last seconds, and how many of these were answered 429?
SELECT
    extract(epoch FROM at)::bigint AS at, submits, reads, refused_submits, refused_reads
FROM upstream_seconds WHERE at > now() - make_interval(secs => :seconds) ORDER BY at
