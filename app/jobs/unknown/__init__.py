"""Writes about attempts whose outcome is unknown: adopt a request of the history, end or resubmit what never arrived, and give a
request back to the job that learns from the upstream itself that it is its own."""
