"""The pace of requests to the upstream: the estimate of its rate limit, and how many requests may be sent now."""
