"""The Python client against a live service, and against servers that misbehave on purpose."""
