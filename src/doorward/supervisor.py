"""Keeps workers alive: one that dies is followed by another, one that cannot start is tried again, ever more seldom."""

import logging
import os
import signal
import socket
from collections.abc import Callable
from time import monotonic

import uvicorn
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from doorward.http.metrics import forget

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 60


class Worker(Process):
    """A worker process; `served` once it has said that it serves."""

    served = False

    def is_alive(self, timeout: float = 5) -> bool:
        """Tell whether it lives and answers within so many seconds."""
        if not self.process.is_alive():
            return False
        answer = self._healthcheck(timeout)
        self.served = self.served or answer is True
        return answer is not None


def pause_after(failures: int) -> int:
    """Return how many seconds to wait after so many workers in a row that did not come to serve."""
    return int(min(_LONGEST_PAUSE, 2 ** (failures - 1)))


class Supervisor(Multiprocess):
    """Keeps the workers alive, and lets go of the port before they are told to stop.

    A port that this process still held would take connections that nobody is there to serve. `failed` where a worker
    could not start before all of them had: then it would fail the same way again, and nothing is served. Later the
    others go on, whatever it is that keeps one more from starting.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], begin: Callable[[], Worker]) -> None:
        """Supervise as many workers as `config` says; `begin` starts one."""
        super().__init__(config, sockets)
        self.failed = False
        self._begin = begin
        self._all_served = False
        self._workers: list[Worker] = []
        # By place: how many in a row did not come to serve, and from when on the next is tried.
        self._failures: dict[int, int] = {}
        self._tried_at: dict[int, float] = {}

    def init_processes(self) -> None:
        """See `Multiprocess`."""
        self._workers = [self._begin() for _ in range(self.processes_num)]
        self.processes = list(self._workers)

    def keep_subprocess_alive(self) -> None:
        """See `Multiprocess`."""
        for place, worker in enumerate(self._workers):
            if self.should_exit.is_set():
                return
            if place in self._tried_at:
                if monotonic() >= self._tried_at[place]:
                    self._replace(place)
            elif not worker.is_alive(timeout=self.config.timeout_worker_healthcheck):
                self._bury(place, worker)
            elif worker.served:
                self._failures.pop(place, None)
        self._all_served = self._all_served or all(worker.served for worker in self._workers)

    def handle_hup(self) -> None:
        """Let every worker read its certificates anew."""
        for worker in self.processes:
            if worker.pid is not None and worker.exitcode is None:
                os.kill(worker.pid, signal.SIGHUP)

    def handle_ttin(self) -> None:
        """Do nothing: how many workers there are is WORKERS' to say."""

    handle_ttou = handle_ttin

    def terminate_all(self) -> None:
        """See `Multiprocess`."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def _bury(self, place: int, worker: Worker) -> None:
        """See to the end of a worker that died or hangs, and to its successor."""
        worker.kill()
        worker.join()
        if worker.pid is not None and "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # noqa: TID251 - set by `share`
            forget(worker.pid)
        if worker.served:
            log.warning("a worker ended, another one begins", extra={"pid": worker.pid, "code": worker.exitcode})
            self._replace(place)
        elif not self._all_served and (worker.exitcode or 0) > 0:
            self.failed = True
            self.should_exit.set()
        else:
            failures = self._failures[place] = self._failures.get(place, 0) + 1
            pause = pause_after(failures)
            self._tried_at[place] = monotonic() + pause
            log.error(
                "a worker could not start, the others go on",
                extra={"pid": worker.pid, "code": worker.exitcode, "again_in_seconds": pause},
            )

    def _replace(self, place: int) -> None:
        self._tried_at.pop(place, None)
        self.processes[place] = self._workers[place] = self._begin()
