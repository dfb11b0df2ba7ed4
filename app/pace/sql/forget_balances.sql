-- Which balances were read so long ago that they are no longer secret?
DELETE FROM upstream_balances WHERE (micro, at) IN (
    SELECT micro, at FROM upstream_balances WHERE at < now() - make_interval(hours => :hours) ORDER BY at LIMIT :most
)
