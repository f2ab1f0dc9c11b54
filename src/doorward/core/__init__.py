"""The rules of the service, without files, network, database or framework."""
