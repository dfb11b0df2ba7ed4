"""Finds out from the upstream's history what became of attempts whose answer was lost.

orphan: a request of the history that no job has. candidate: an attempt that may have made it. adopt: give the request to the
job of the attempt. contested: a request that attempts of several tenants may have made; nobody gets it. absent: an attempt of
which the history proves that it did not arrive.
"""
