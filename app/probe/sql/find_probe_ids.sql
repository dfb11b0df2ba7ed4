-- Which of these requests of the upstream are probes?
SELECT DISTINCT upstream_id FROM probes WHERE upstream_id = ANY (:upstream_ids::text[])
