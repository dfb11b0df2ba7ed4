"""Outbound HTTP: calls to the upstream and to webhook receivers, and the addresses that they may reach."""
