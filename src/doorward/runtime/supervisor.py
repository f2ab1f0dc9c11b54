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

_MAX_RESTART_DELAY = 60
_EXIT_SECONDS = 0.5


class Worker(Process):
    """A worker process. `served` is set after its first response that it serves."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        """Prepare a worker; `start` starts it and its time limit for the start."""
        super().__init__(config, sockets)
        self.served = False
        self.started_at = monotonic()
        self._awaits_response = False

    def serves(self, timeout: float) -> bool | None:
        """Return whether the worker serves; None where it does not respond within `timeout` seconds."""
        serving = self._healthcheck(timeout)
        self.served = self.served or serving is True
        return serving

    def _healthcheck(self, timeout: float) -> bool | None:
        # One request at a time: the response to an earlier one would hide that the worker stopped responding.
        try:
            if not self._awaits_response:
                self.parent_conn.send(b"ping")
                self._awaits_response = True
            if not self.parent_conn.poll(timeout):
                return None
            started: bool = self.parent_conn.recv()
        except (OSError, EOFError, pickle.UnpicklingError):
            return None
        self._awaits_response = False
        return started


def restart_delay(failures: int) -> int:
    """Return the seconds to wait after this many workers in a row that failed to start."""
    return int(min(_MAX_RESTART_DELAY, 2 ** (failures - 1)))


class Supervisor(Multiprocess):
    """Supervises the workers, and closes the port before they are stopped.

    A port that this process still held would accept connections that no worker serves. `failed` is set if a worker
    could not start before all of them had: a retry would fail in the same way, so the service stops. Later, the other
    workers continue after a failed restart.
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
        self._start_timeout = response_timeout
        self.failed = False
        self._start_worker = on_start
        self._all_served = False
        self._workers: list[Worker] = []
        # By slot: the number of failed starts in a row, and the time of the next one.
        self._failures: dict[int, int] = {}
        self._restart_at: dict[int, float] = {}

    def init_processes(self) -> None:
        """See `Multiprocess`."""
        self._workers = [self._start_worker() for _ in range(self.processes_num)]
        self.processes = list(self._workers)

    def keep_subprocess_alive(self) -> None:
        """See `Multiprocess`."""
        for slot, worker in enumerate(self._workers):
            if self.should_exit.is_set():
                return
            if slot in self._restart_at:
                if monotonic() >= self._restart_at[slot]:
                    self._replace(slot)
            elif not worker.process.is_alive():
                self._report_exit(slot, worker)
            elif timeout := self._is_unresponsive(worker):
                # A worker closes its pipe a moment before its process exits.
                worker.process.join(_EXIT_SECONDS)
                self._report_exit(slot, worker, timeout if worker.exitcode is None else 0)
            elif worker.served:
                self._failures.pop(slot, None)
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
        return 0 if worker.serves(0) or monotonic() < worker.started_at + self._start_timeout else self._start_timeout

    def _report_exit(self, slot: int, worker: Worker, timeout: int = 0) -> None:
        """Log and remove a worker that exited or exceeded `timeout` seconds, and schedule its restart."""
        worker.kill()
        worker.join()
        if worker.pid is not None and "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # noqa: TID251 - set by `share`
            forget(worker.pid)
        # The exit code of a worker that the supervisor killed means nothing.
        fields = {"worker": slot + 1, "pid": worker.pid, **({"seconds": timeout} if timeout else _exit_of(worker))}
        if worker.served:
            event = f"worker did not respond within {timeout} s" if timeout else "worker exited"
            log.warning("%s, starting another", event, extra=fields)
            self._replace(slot)
        elif not timeout and not self._all_served and (worker.exitcode or 0) > 0:
            self.failed = True
            self.should_exit.set()
        else:
            failures = self._failures[slot] = self._failures.get(slot, 0) + 1
            delay = restart_delay(failures)
            self._restart_at[slot] = monotonic() + delay
            event = f"worker did not serve within {timeout} s of its start" if timeout else "worker could not start"
            log.error("%s, trying again; the others continue", event, extra={**fields, "again_in_seconds": delay})

    def _replace(self, slot: int) -> None:
        self._restart_at.pop(slot, None)
        self.processes[slot] = self._workers[slot] = self._start_worker()


def _exit_of(worker: Worker) -> dict[str, int | str | None]:
    code = worker.exitcode
    return {"signal": signal.Signals(-code).name} if code is not None and code < 0 else {"code": code}
