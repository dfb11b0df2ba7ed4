"""One real job at the upstream, on request of an operator, to see how the upstream behaves.

probe: the job. It belongs to no tenant, and is recorded before it is sent. lost: it was sent, and the upstream's id is unknown.
shape: the keys and types of an answer, without its values. fact: something that a probe has learned of the upstream.
"""
