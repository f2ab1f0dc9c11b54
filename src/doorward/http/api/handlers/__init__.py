"""Read a request, ask core, reply: the handlers, by noun."""
