"""`waystation webhook listen`: a local receiver that verifies webhooks."""
