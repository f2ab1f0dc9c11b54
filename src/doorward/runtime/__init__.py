"""The process: listeners, worker supervision, lifespan, TLS, CPU and file limits.

Starts, supervises and stops workers; contains no request handling.
"""
