-- Which counts are so old that nobody reads them any more?
DELETE FROM upstream_seconds WHERE at < now() - make_interval(secs => :kept_seconds)
