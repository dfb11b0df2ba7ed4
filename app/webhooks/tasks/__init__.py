"""What a worker does for the webhooks: deliver what is due, and sweep up behind it."""
