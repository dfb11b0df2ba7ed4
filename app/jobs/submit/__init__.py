"""Accepting a job: check the request, price it, store it, or record why it was refused."""
