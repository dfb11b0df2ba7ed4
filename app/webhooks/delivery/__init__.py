"""Deliveries in a worker: claimed, signed, sent and recorded."""
