"""The audit log: events, pages, and verification of its hash chains."""
