"""The native surface, `/api/v1`: everything that the gateway offers to a tenant, in its own format."""
