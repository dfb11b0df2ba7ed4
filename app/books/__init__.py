"""Whether the database is as new as what was sent: after a failover or a restore it may be older, and would send again.

books       what the database says of itself: an id that copies share, and the server where it was last complete
server      system identifier, timeline and database oid, joined by slashes
memory      what a running process knows: its last heartbeat and the last attempt that it opened
witness     the same, kept in Redis for the processes that come after
doubt       why sending is stopped: the pause of everything has the reason `restored` then
vouch       say, after the database has moved to another server, that everything one knows is there
"""
