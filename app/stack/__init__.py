"""The whole stack on one machine: embedded Postgres and Valkey, our processes, and the supervisor that restarts them.

member: a server or a child of the supervisor. server: Postgres or Valkey, with its own data directory. child: one of our own
processes. interlock: a file lock that is held exactly as long as the process that inherited it lives.
"""
