"""The OpenAPI document, from routes, schemas and errors (stub while the page is written)."""

from doorward.http.services import Descriptions


def describe() -> Descriptions:
    """Return the document and the page."""
    return Descriptions()
