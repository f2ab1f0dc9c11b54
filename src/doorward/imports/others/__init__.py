"""Readers of other systems' export files, which convert users to rows of `POST /users/import`. They do no I/O.

Each module is one system: `open_file` finds the entries in the JSON values or CSV rows of a file, and returns them with
a reader of one entry. A reader raises one of UNREADABLE for an entry that does not have the format of its system. The
rows, with their hashes, are validated like those of the API.
"""
