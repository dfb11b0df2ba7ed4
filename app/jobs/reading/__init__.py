"""Reads of jobs by tenants: one job, a list, the wait for a job's end, and its ETA."""
