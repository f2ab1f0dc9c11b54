"""The service as real processes: killed, raced, starved. `make torture` runs the long forms."""
