-- A statement that counts requests granted now. {kind}: the column, submits or reads; {number}: the column of {rows} with how many.
INSERT INTO upstream_seconds (at, {kind})
SELECT date_trunc('second', now()), granted
FROM (SELECT {number}::integer AS granted FROM {rows}) AS counted WHERE granted > 0
ON CONFLICT (at) DO UPDATE SET {kind} = upstream_seconds.{kind} + excluded.{kind}
