"""Creates users until the service is gone: `python3 writer.py URL TOKEN PREFIX`. Prints each login once it is acknowledged.

Runs inside a machine, on the standard library alone.
"""

import http.client
import json
import sys
import time
from urllib.parse import urlsplit

url, token, prefix = sys.argv[1:]
connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
number = refused = 0
while refused < 20:
    login = f"{prefix}{number}"
    user = {"login": login, "email": f"{login}@example.org", "password": "wonderland", "sub": login}
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/user", json.dumps(user), headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        refused += 1
        time.sleep(0.1)
        continue
    if answer.status == http.HTTPStatus.OK:
        print(login, flush=True)  # noqa: T201
        refused = 0
    else:
        refused += answer.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR
    number += 1
