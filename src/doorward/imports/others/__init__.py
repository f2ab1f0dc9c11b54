"""Users of other systems, from the files that those write, as rows of `POST /users/import`. Pure.

Each module is one system: `open_file` finds the entries in the JSON values or CSV rows of a file, and returns them with
a reader of one entry. A reader raises one of UNREADABLE for an entry that its system does not write. Rows are judged
where all rows are, their hashes included.
"""
