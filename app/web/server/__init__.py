"""Inbound HTTP/1.1: uvicorn's server with limits on the size and the time of a request, and a clean shutdown."""
