"""The operators' HTTP API, `/admin/v1`."""
