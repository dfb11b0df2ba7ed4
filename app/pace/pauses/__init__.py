"""Pauses of submits: of everything, of a tenant, of a model, or of a model for a tenant."""
