"""The rules of the service, without I/O: no framework, no driver, no environment."""
