"""Reads of the ledger."""

TRANSFER_COLUMNS = "id, tenant_id, kind, amount, job_id, hold_id, reference, note, expires_at, created_at"
"""Of `transfers`, in a SELECT or after RETURNING."""
