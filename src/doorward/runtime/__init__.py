"""The process: listeners, worker supervision, lifespan, TLS, CPU and file limits.

Knows how a worker starts, runs and stops; nothing of what requests mean.
"""
