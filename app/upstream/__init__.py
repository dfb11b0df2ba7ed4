"""The paid upstream as the gateway sees it. No tables, no session.

upstream: the v2 API behind us. exchange: one HTTP call to it (submit, poll, fetch, history). outcome: what an exchange
told us, as a value. simulator: a stand-in for the upstream that we can start, speed up, break and question.
"""
