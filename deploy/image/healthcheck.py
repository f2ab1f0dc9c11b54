"""Exits with 0 while the service in this container is ready, with 1 otherwise: what HEALTHCHECK runs."""

import http.client
import sys
from os import environ


def ready(environment: "dict[str, str]") -> bool:
    """Ask /health/ready, by the first name that ALLOWED_HOSTS admits."""
    host = environment.get("ALLOWED_HOSTS", "").split(",")[0].strip() or "localhost"
    connection = http.client.HTTPConnection("127.0.0.1", int(environment.get("PORT", "3000")), timeout=2)
    try:
        connection.request("GET", "/health/ready", headers={"Host": host})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if ready(dict(environ)) else 1)
