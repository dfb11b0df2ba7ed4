"""The stack on one machine: embedded Postgres and Valkey, and the supervisor that keeps them and our processes alive.

member: something the supervisor keeps: a server or a child. server: Postgres or Valkey, run privately for one directory.
child: one of our own processes. interlock: a file whose lock lives exactly as long as the process it was handed to.
"""
