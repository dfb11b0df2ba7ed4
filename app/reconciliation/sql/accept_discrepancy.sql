-- Which open discrepancy has an operator accepted?
UPDATE discrepancies AS discrepancy SET accepted_at = now(), accepted_note = :note
WHERE id = :id AND {{ open(discrepancy=discrepancy) }}
RETURNING kind, subject, tenant_id
