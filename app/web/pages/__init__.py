"""Routes that belong to no subject: `/docs`, `/healthz`, `/readyz`."""
