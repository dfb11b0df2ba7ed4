"""Outbound HTTP: calls to the upstream and to receivers, and which addresses they may reach."""
