"""What operators do, over HTTP and at the command line alike.

operator: a person of ours, by a key of theirs. audit: who did what, written in the transaction that did it.
"""
