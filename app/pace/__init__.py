"""The pace of requests to the upstream: what its rate limit is believed to be, and how many may be sent now."""
