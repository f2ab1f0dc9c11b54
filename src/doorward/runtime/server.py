"""The server: one process, or several that share their ports; stopped gracefully."""

import asyncio
import logging
import multiprocessing.process
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, NoReturn

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.server import ServerState

from doorward.core.errors import CannotStart
from doorward.http.connection.listener import Listener
from doorward.http.connection.maintenance import MaintenanceProtocol
from doorward.http.connection.protocol import DoorwardProtocol
from doorward.observability import logging as logs
from doorward.observability.metrics import share
from doorward.runtime.cpu import SPARE_FILES, possible_connections, raise_file_limit
from doorward.runtime.supervisor import Supervisor, Worker
from doorward.runtime.tls import maintenance_context, public_context
from doorward.settings import Settings

log = logging.getLogger(__name__)

_BACKLOG = 2048
_DRAIN_SECONDS = 30
_IDLE_SECONDS = 75
# OWASP and Mozilla: two years, for all names below this one.
_HSTS = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")


class ListenerConfig(NamedTuple):
    """A listener: the setting that enables it, its port, and its purpose."""

    setting: str
    number: int
    purpose: str


def listener_configs(settings: Settings) -> list[ListenerConfig]:
    """Return the listeners, in the order of the sockets that `run` takes."""
    configs = []
    if settings.http_server == "on":
        configs.append(ListenerConfig("PORT", settings.port, "http"))
    if settings.https_server == "on":
        configs.append(ListenerConfig("HTTPS_PORT", settings.https_port, "https"))
    if settings.maintain_tls_port is not None:
        configs.append(ListenerConfig("MAINTAIN_TLS_PORT", settings.maintain_tls_port, "maintenance"))
    if settings.metrics_port is not None:
        configs.append(ListenerConfig("METRICS_PORT", settings.metrics_port, "metrics"))
    return configs


def bind_socket(host: str, port: int) -> socket.socket:
    """Return the socket that the workers accept on; raises OSError where the port cannot be bound."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.set_inheritable(True)  # the workers accept on it
    return listener


def check(settings: Settings) -> None:
    """Raise CannotStart where a listener's certificates cannot be used."""
    _contexts(settings)


def run(settings: Settings, listeners: list[socket.socket]) -> bool:
    """Serve until stopped; return False if the start failed, after logging the reason.

    The sockets are those of `listener_configs`, in its order.
    """
    raise_file_limit(settings.max_connections + SPARE_FILES)
    possible = possible_connections(settings.max_connections)
    if possible < settings.max_connections:
        log.warning(
            "the limit on open files allows fewer connections than MAX_CONNECTIONS",
            extra={"max_connections": settings.max_connections, "connections": possible},
        )
    # uvicorn shuts down and then raises the signal again. A requested stop exits with code 0.
    signal.signal(signal.SIGTERM, _exit_cleanly)
    config = WorkerConfig("doorward.app:from_environment", settings)
    if config.workers > 1:
        if settings.metrics_port is not None or settings.metrics_white_list:
            share()
        # A start may wait for its database (DATABASE_WAIT).
        response_timeout = settings.worker_start_timeout + settings.database_wait
        supervisor = Supervisor(
            config, listeners, lambda: _on_worker_start(config, listeners), response_timeout=response_timeout
        )
        supervisor.run()
        return not supervisor.failed
    try:
        WorkerServer(config).run(sockets=listeners)
    except SystemExit as end:
        if end.code == STARTUP_FAILURE:
            return False
        raise
    return True


class WorkerConfig(uvicorn.Config):
    """Configuration of a worker.

    A worker whose supervisor has exited stops, so that the port is free for the next supervisor.
    """

    def __init__(self, app: Any, settings: Settings) -> None:
        """Serve `app`, an application or the import path of a factory of one, as the settings say."""
        super().__init__(
            app,
            factory=isinstance(app, str),
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
        self.settings = settings

    def load(self) -> None:
        """See `uvicorn.Config.load`."""
        supervisor = multiprocessing.parent_process()
        if supervisor is not None:
            # The supervisor sends it to all workers, also to those that have nothing to reload yet.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            threading.Thread(target=_stop_with_supervisor, args=(supervisor,), name="follow", daemon=True).start()
        try:
            super().load()
        except CannotStart as reason:
            # A worker reads the settings again, which may have changed since the start.
            logs.configure(self.settings.log_level, self.settings.log_format)
            log.error("cannot start", extra={"reason": str(reason)})  # noqa: TRY400 - the reason says it all
            sys.exit(STARTUP_FAILURE)


class WorkerServer(uvicorn.Server):
    """uvicorn's server with one listener per purpose. On SIGHUP the TLS listeners reload their certificates.

    Open connections are unaffected, and no connection is rejected during the reload.
    """

    config: WorkerConfig

    def __init__(self, config: WorkerConfig) -> None:
        """Listen, once started, on the sockets of `listener_configs`."""
        super().__init__(config)
        # The listeners share connections and tasks; only the headers of every response differ.
        self._secure = ServerState()
        self._secure.connections = self.server_state.connections
        self._secure.tasks = self.server_state.tasks
        self._listeners: dict[str, Listener] = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen."""
        configs = listener_configs(self.config.settings)
        purposes = {config.purpose: listener for config, listener in zip(configs, sockets or [], strict=True)}
        try:
            contexts = _contexts(self.config.settings)
        except CannotStart as reason:
            log.error("cannot start", extra={"reason": str(reason)})  # noqa: TRY400 - the reason says it all
            sys.exit(STARTUP_FAILURE)
        await super().startup([])
        for purpose, listener in purposes.items():
            self._listen(purpose, listener, contexts.get(purpose))
        if contexts and threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.reload)

    async def on_tick(self, counter: int) -> bool:
        """See `uvicorn.Server.on_tick`."""
        stop = await super().on_tick(counter)
        self._secure.default_headers = [*self.server_state.default_headers, _HSTS]
        return stop

    def reload(self) -> None:
        """Reload the certificates for new connections. If they cannot be used, the old ones stay."""
        try:
            contexts = _contexts(self.config.settings)
        except CannotStart as reason:
            log.error("certificates not reloaded, the old ones stay", extra={"reason": str(reason)})  # noqa: TRY400 - likewise
            return
        for purpose, context in contexts.items():
            self._listeners[purpose].context = context
        log.info("certificates reloaded", extra={"pid": os.getpid()})

    def _listen(self, purpose: str, bound: socket.socket, context: ssl.SSLContext | None) -> None:
        connections = self.lifespan.state["connections"]
        listener = Listener(
            purpose,
            bound.dup(),
            registry=self.lifespan.state["metrics"] if purpose == "metrics" else connections,
            evictable=connections,
            protocol_factory=self._protocol(purpose),
            handshakes=self.server_state.connections,
            context=context,
        )
        listener.start(self.config.backlog)
        self._listeners[purpose] = listener
        self.servers.append(listener)  # type: ignore[arg-type]

    def _protocol(self, purpose: str) -> Callable[[], DoorwardProtocol]:
        state = self.server_state if purpose in {"http", "metrics"} else self._secure
        arguments: dict[str, Any] = {"config": self.config, "server_state": state, "app_state": self.lifespan.state}
        if purpose == "maintenance":
            return partial(MaintenanceProtocol, frozenset(self.config.settings.maintain_tls_ca_cn), **arguments)
        if purpose == "metrics":
            arguments["app_state"] = {**self.lifespan.state, "connections": self.lifespan.state["metrics"]}
        return partial(DoorwardProtocol, **arguments)


class _Worker(Worker):
    """A worker process that runs a `WorkerServer`."""

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = WorkerServer(self.config)  # type: ignore[arg-type]
        return self._server


def _on_worker_start(config: WorkerConfig, listeners: list[socket.socket]) -> Worker:
    worker = _Worker(config, listeners)
    worker.start()
    return worker


def _contexts(settings: Settings) -> dict[str, ssl.SSLContext]:
    contexts: dict[str, ssl.SSLContext] = {}
    for config in listener_configs(settings):
        if config.purpose == "https":
            contexts[config.purpose] = public_context(settings.https_cert, settings.https_key)
        if config.purpose == "maintenance":
            contexts[config.purpose] = maintenance_context(settings.maintain_tls_pem, settings.maintain_tls_ca)
    return contexts


def _stop_with_supervisor(supervisor: multiprocessing.process.BaseProcess) -> None:
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _exit_cleanly(_signal: int, _frame: object) -> NoReturn:
    sys.exit(0)
