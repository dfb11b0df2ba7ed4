"""Reads of the ledger."""

TRANSFER_COLUMNS = "id, tenant_id, kind, amount, job_id, hold_id, reference, note, expires_at, created_at"
"""Of `transfers`, in a SELECT or after RETURNING."""

LOTS_DUE = "EXISTS (SELECT FROM lots WHERE expired_at IS NULL AND expires_at <= now())"
"""Is there credit whose time is over? A condition for any statement."""
