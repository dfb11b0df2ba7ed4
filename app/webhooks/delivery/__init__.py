"""Deliveries in a worker: claim, sign, send, record."""
