"""Detects that the database may be older than what was sent. After a failover or restore it may be, and jobs would be sent again.

books       the database identity: an id that copies of a database share, and the server where it was last complete
server      system identifier, timeline and database oid, joined by slashes
memory      what a running process knows: its last heartbeat and the last attempts that it opened
witness     the memory of a process, kept in Redis for processes that start later
doubt       the reason why sending is stopped. Submits of everything are then paused with the reason `restored`
vouch       of a process, after the database moved to another server: state that everything that it wrote is there
"""
