"""`/api/v1/webhook-endpoints` and `/api/v1/events`, and the bodies of events about jobs."""
