"""Supervisor of the worker processes: restarts a worker that exits or stops responding.

After failed starts it pauses before the next one.
"""

import logging
import os
import pickle
import signal
import socket
from collections.abc import Callable
from time import monotonic

import uvicorn
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from doorward.observability.metrics import forget

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 60
_LAST_SECONDS = 0.5


class Worker(Process):
    """A worker process. `served` is set once it has responded that it serves."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        """Prepare a worker; `start` starts it and its time limit for the start."""
        super().__init__(config, sockets)
        self.served = False
        self.began = monotonic()
        self._is_asked = False

    def serves(self, timeout: float) -> bool | None:
        """Return whether the worker serves; None where it does not respond within `timeout` seconds."""
        answer = self._healthcheck(timeout)
        self.served = self.served or answer is True
        return answer

    def _healthcheck(self, timeout: float) -> bool | None:
        # One request at a time: responses to earlier ones would hide that a worker stopped responding.
        try:
            if not self._is_asked:
                self.parent_conn.send(b"ping")
                self._is_asked = True
            if not self.parent_conn.poll(timeout):
                return None
            started: bool = self.parent_conn.recv()
        except (OSError, EOFError, pickle.UnpicklingError):
            return None
        self._is_asked = False
        return started


def restart_delay(failures: int) -> int:
    """Return the seconds to wait after this many workers in a row that failed to start."""
    return int(min(_LONGEST_PAUSE, 2 ** (failures - 1)))


class Supervisor(Multiprocess):
    """Supervises the workers, and closes the port before they are stopped.

    A port that this process still held would accept connections that no worker serves. `failed` where a worker could
    not start before all of them had: another start would fail in the same way, and the service stops. Later the other
    workers continue, whatever the reason of a failed restart.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        on_start: Callable[[], Worker],
        *,
        response_timeout: int,
    ) -> None:
        """Supervise as many workers as `config` says; `on_start` starts one.

        A worker has `response_timeout` seconds to serve after its start, and then `config.timeout_worker_healthcheck`
        seconds for each response. A start takes longer, since it imports and waits for stores, and competes for the CPU
        with the other workers.
        """
        super().__init__(config, sockets)
        self._patience = response_timeout
        self.failed = False
        self._begin = on_start
        self._all_served = False
        self._workers: list[Worker] = []
        # By slot: the number of failed starts in a row, and the time of the next one.
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
            elif not worker.process.is_alive():
                self._report_exit(place, worker)
            elif late := self._is_unresponsive(worker):
                # A worker closes its pipe a moment before its process exits.
                worker.process.join(_LAST_SECONDS)
                self._report_exit(place, worker, late if worker.exitcode is None else 0)
            elif worker.served:
                self._failures.pop(place, None)
        self._all_served = self._all_served or all(worker.served for worker in self._workers)

    def handle_hup(self) -> None:
        """Let every worker reload its certificates."""
        for worker in self.processes:
            if worker.pid is not None and worker.exitcode is None:
                os.kill(worker.pid, signal.SIGHUP)

    def handle_ttin(self) -> None:
        """Do nothing: WORKERS sets the number of workers."""

    handle_ttou = handle_ttin

    def terminate_all(self) -> None:
        """See `Multiprocess`."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def _is_unresponsive(self, worker: Worker) -> int:
        """Return the time limit in seconds that a worker exceeded; 0 if it is in time."""
        if worker.served:
            seconds = self.config.timeout_worker_healthcheck
            return seconds if worker.serves(seconds) is None else 0
        return 0 if worker.serves(0) or monotonic() < worker.began + self._patience else self._patience

    def _report_exit(self, place: int, worker: Worker, late: int = 0) -> None:
        """Log and remove a worker that exited, or did not respond within `late` seconds, and schedule its restart."""
        worker.kill()
        worker.join()
        if worker.pid is not None and "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # noqa: TID251 - set by `share`
            forget(worker.pid)
        # The exit code of a worker that the supervisor killed means nothing.
        fields = {"worker": place + 1, "pid": worker.pid, **({"seconds": late} if late else _exit_of(worker))}
        if worker.served:
            event = f"worker did not respond within {late} s" if late else "worker exited"
            log.warning("%s, starting another", event, extra=fields)
            self._replace(place)
        elif not late and not self._all_served and (worker.exitcode or 0) > 0:
            self.failed = True
            self.should_exit.set()
        else:
            failures = self._failures[place] = self._failures.get(place, 0) + 1
            pause = restart_delay(failures)
            self._tried_at[place] = monotonic() + pause
            event = f"worker did not serve within {late} s of its start" if late else "worker could not start"
            log.error("%s, trying again; the others continue", event, extra={**fields, "again_in_seconds": pause})

    def _replace(self, place: int) -> None:
        self._tried_at.pop(place, None)
        self.processes[place] = self._workers[place] = self._begin()


def _exit_of(worker: Worker) -> dict[str, int | str | None]:
    code = worker.exitcode
    return {"signal": signal.Signals(-code).name} if code is not None and code < 0 else {"code": code}
