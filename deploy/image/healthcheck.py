"""Exits with 0 while the service in this container is ready, with 1 otherwise: what HEALTHCHECK runs."""

import http.client
import sys
from os import environ


def ready(environment: "dict[str, str]") -> bool:
    """Ask /health/ready, by the first name that ALLOWED_HOSTS admits."""
    # As the service reads them: an empty setting is the default, and items of a list may be quoted.
    host = environment.get("ALLOWED_HOSTS", "").split(",")[0].strip(" \"'") or "localhost"
    port = int(environment.get("PORT", "").strip() or "3000")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health/ready", headers={"Host": host})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if ready(dict(environ)) else 1)
