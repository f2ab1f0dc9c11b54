"""Serves: one process, or several that share a port, kept alive and let go of gently."""

import multiprocessing.process
import os
import resource
import signal
import socket
import sys
import threading
from typing import NoReturn

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from doorward.http.protocol import DoorwardProtocol
from doorward.settings import Settings

_BACKLOG = 2048
_DRAIN_SECONDS = 30
_IDLE_SECONDS = 75
_SPARE_FILES = 256


def bind(host: str, port: int) -> socket.socket:
    """Return the socket that the workers will accept on; OSError where it cannot be had."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.set_inheritable(True)  # the workers accept on it
    return listener


def run(settings: Settings, listener: socket.socket) -> bool:
    """Serve until asked to stop; False where it could not even start, for a reason that is in the log."""
    _allow_files(settings.max_connections + _SPARE_FILES)
    # uvicorn ends what it has to end and then lets the signal happen; to be asked to stop is no failure.
    signal.signal(signal.SIGTERM, _stopped)
    config = _Config(
        "doorward.app:from_environment",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http=DoorwardProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    if config.workers > 1:
        supervisor = _Supervisor(config, sockets=[listener])
        supervisor.run()
        return all(worker.exitcode != STARTUP_FAILURE for worker in supervisor.processes)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except SystemExit as end:
        if end.code == STARTUP_FAILURE:
            return False
        raise
    return True


class _Supervisor(Multiprocess):
    """Keeps the workers alive, and lets go of the port before they are told to stop.

    A port that this process still held would take connections that nobody is there to serve.
    """

    def terminate_all(self) -> None:
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


class _Config(uvicorn.Config):
    """What a worker is started with. A worker whose supervisor is gone stops, so that the port is free for the next."""

    def load(self) -> None:
        supervisor = multiprocessing.parent_process()
        if supervisor is not None:
            threading.Thread(target=_follow, args=(supervisor,), name="follow", daemon=True).start()
        super().load()


def _follow(supervisor: multiprocessing.process.BaseProcess) -> None:
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _stopped(_signal: int, _frame: object) -> NoReturn:
    sys.exit(0)


def _allow_files(wanted: int) -> None:
    """Raise the limit of open files, as far as it may be raised, to what the connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
