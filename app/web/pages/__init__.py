"""Routes without a room of their own: `/docs`, `/healthz`, `/readyz`."""
