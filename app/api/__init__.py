"""The native surface, `/api/v1`: everything the gateway can do for a tenant, in its own words."""
