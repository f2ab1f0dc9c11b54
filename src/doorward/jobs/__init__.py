"""Work that happens later: periodic tasks under a lease in the database, and dispatchers of outgoing messages.

A row is written in the transaction of the change that causes it; nothing is sent inside a request.
"""
