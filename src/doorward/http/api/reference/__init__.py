"""The descriptions of the API: the OpenAPI document, and a page for readers."""
