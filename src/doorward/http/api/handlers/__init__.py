"""Request handlers, one module per part of the URL tree: read a request, call one service, respond."""
