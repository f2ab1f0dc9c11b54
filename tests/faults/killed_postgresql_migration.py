"""Prepares databases of a PostgreSQL server, and dies in the middle, as told by lines on standard input.

    URL STATEMENT HOW

dies by SIGKILL when that many statements have begun: `before` the last of them is sent, when it is `sent` and nobody
waits for the answer; or stands still there (`still`), until somebody else kills it. Each line is answered by one: how the
process ended, or, for `still`, its id.
"""

import asyncio
import os
import signal
import sys
from typing import Any

import asyncpg

from doorward.storage.postgres.address import Address
from doorward.storage.postgres.schema import prepare

execute = asyncpg.Connection.execute


def prepare_and_die(url: str, statements: int, how: str) -> None:
    left = statements

    async def watched(self: Any, *given: Any, **more: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            await die(self, *given, **more)
        return await execute(self, *given, **more)

    async def die(self: Any, *given: Any, **more: Any) -> None:
        if how == "sent":
            sending = asyncio.ensure_future(execute(self, *given, **more))
            # Two turns of the loop: the task begins, and what it wrote is on its way.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not sending.done()
        os.kill(os.getpid(), signal.SIGSTOP if how == "still" else signal.SIGKILL)

    asyncpg.Connection.execute = watched
    asyncio.run(prepare(Address.read(url), wait=0))


def main() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for line in sys.stdin:
        url, statements, how = line.split()
        child = os.fork()
        if not child:
            prepare_and_die(url, int(statements), how)
            os._exit(0)
        _, status = os.waitpid(child, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            sys.stdout.write(f"still {child}\n")
            os.waitpid(child, 0)
        else:
            said = "died" if os.WIFSIGNALED(status) else f"ended {os.waitstatus_to_exitcode(status)}"
            sys.stdout.write(f"{said}\n")


if __name__ == "__main__":
    main()
