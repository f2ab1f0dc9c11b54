"""Reserved for work that happens later: periodic tasks under a lease, dispatchers of outgoing messages. No module yet.

A row is to be written in the transaction of the change that causes it; nothing is sent inside a request. Periodic tasks
of a single process are in `runtime/lifespan.py`.
"""
