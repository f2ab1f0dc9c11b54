"""SQLite: the embedded database, one file shared by every worker of one machine.

The file has to lie on a local disk, since SQLite's locks do not hold on network file systems.
"""
