"""The actions of operators, over HTTP and on the command line.

operator: a person who runs the gateway, with their own key. audit log: who did what. Each row is written in the transaction of
the action.
"""
