"""The JSON API: endpoint table, routes, handlers, schemas, OpenAPI document.

Handlers read a request, call one service of `core` and return a response; rules belong to `core`.
"""
