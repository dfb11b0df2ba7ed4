"""For those who run it: proof on live data, and a look at whether everything is set up as it must be.

invariant: what has to be true of the rows at every instant, of a running system too.
"""
