-- Which counts are so old that nobody asks for them any more?
DELETE FROM upstream_seconds WHERE at < now() - make_interval(secs => :kept_seconds)
