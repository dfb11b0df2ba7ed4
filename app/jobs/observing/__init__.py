"""What a worker learns from the upstream's answers: rate limit, run times, account errors, and forbidden models."""
