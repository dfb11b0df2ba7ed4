-- How many submits and reads of each second were answered 429, including these?
INSERT INTO upstream_seconds AS kept (at, refused_submits, refused_reads)
SELECT to_timestamp(at), refused_submits, refused_reads
FROM unnest(:at::bigint[], :refused_submits::integer[], :refused_reads::integer[]) AS t (at, refused_submits, refused_reads)
ORDER BY at
ON CONFLICT (at) DO UPDATE SET
    refused_submits = kept.refused_submits + excluded.refused_submits,
    refused_reads = kept.refused_reads + excluded.refused_reads
