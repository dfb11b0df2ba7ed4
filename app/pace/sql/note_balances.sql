-- Which balances of the company's account were read now?
INSERT INTO upstream_balances (micro) SELECT * FROM unnest(:micros::bigint[]) ON CONFLICT DO NOTHING
