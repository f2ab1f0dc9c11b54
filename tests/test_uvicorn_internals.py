"""The parts of uvicorn that Doorward subclasses or reads exist with the shape that it relies on.

They are not uvicorn's public API. A new version of uvicorn that changes one fails here, by name. `pyproject.toml` caps
the version for the same reason.
"""

import asyncio
import inspect
import multiprocessing
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

METHODS: dict[type, dict[str, str]] = {
    HttpToolsProtocol: {
        "__init__": "config server_state app_state _loop",
        "connection_made": "transport",
        "connection_lost": "exc",
        "data_received": "data",
        "on_message_begin": "",
        "on_url": "url",
        "on_header": "name value",
        "on_headers_complete": "",
        "on_body": "body",
        "on_message_complete": "",
        "on_response_complete": "",
        "pause_writing": "",
        "resume_writing": "",
        "send_400_response": "msg",
        "shutdown": "",
        "_start_asgi_task": "cycle app",
        "_unset_keepalive_if_required": "",
    },
    RequestResponseCycle: {"run_asgi": "app"},
    FlowControl: {"pause_reading": "", "resume_reading": ""},
    uvicorn.Config: {"load": ""},
    uvicorn.Server: {"run": "sockets", "startup": "sockets", "on_tick": "counter"},
    Process: {
        "__init__": "config sockets",
        "_healthcheck": "timeout",
        "start": "",
        "kill": "",
        "join": "",
        "target": "sockets",
    },
    Multiprocess: {
        "__init__": "config sockets",
        "run": "",
        "init_processes": "",
        "keep_subprocess_alive": "",
        "terminate_all": "",
        "handle_hup": "",
        "handle_ttin": "",
        "handle_ttou": "",
    },
}
COROUTINES = {(uvicorn.Server, "startup"), (uvicorn.Server, "on_tick"), (RequestResponseCycle, "run_asgi")}


async def application(_scope: Any, _receive: Any, _send: Any) -> None:
    """Do nothing: no request reaches it."""


def config() -> uvicorn.Config:
    return uvicorn.Config(application, http="httptools", lifespan="off", log_config=None)


@contextmanager
def protocol() -> Iterator[HttpToolsProtocol]:
    """A protocol on a connected socket."""
    loop = asyncio.new_event_loop()
    ours, theirs = socket.socketpair()
    made = HttpToolsProtocol(config(), ServerState(), {}, loop)
    try:
        transport, _ = loop.run_until_complete(loop.create_connection(lambda: made, sock=ours))
        yield made
        transport.abort()
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        theirs.close()
        loop.close()


@contextmanager
def cycle() -> Iterator[RequestResponseCycle]:
    """The cycle of a request."""
    with protocol() as connection:
        connection.data_received(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        made = connection.cycle
        assert isinstance(made, RequestResponseCycle)
        tasks = list(connection.tasks)
        connection.loop.run_until_complete(asyncio.gather(*tasks))
        yield made


@contextmanager
def flow() -> Iterator[FlowControl]:
    with protocol() as connection:
        yield connection.flow


@contextmanager
def server_state() -> Iterator[ServerState]:
    yield ServerState()


@contextmanager
def worker() -> Iterator[Process]:
    """A worker process that is not started."""
    made = Process(config(), [])
    yield made
    made.parent_conn.close()
    made.child_conn.close()


FIELDS: dict[str, tuple[Callable[[], Any], dict[str, type | tuple[type, ...]]]] = {
    "a connection": (
        protocol,
        {
            "app_state": dict,
            "client": (tuple, type(None)),
            "cycle": type(None),
            "flow": FlowControl,
            "headers": (list, type(None)),
            "loop": asyncio.AbstractEventLoop,
            "parser": object,
            "pipeline": object,
            "server_state": ServerState,
            "transport": asyncio.Transport,
        },
    ),
    "a request": (
        cycle,
        {
            "body": (bytes, bytearray),
            "disconnected": bool,
            "keep_alive": bool,
            "message_event": asyncio.Event,
            "more_body": bool,
            "response_complete": bool,
            "response_started": bool,
            "scope": dict,
        },
    ),
    "flow control": (flow, {"write_paused": bool}),
    "the state of a server": (
        server_state,
        {"connections": set, "default_headers": list, "tasks": set, "total_requests": int},
    ),
    "a worker": (
        worker,
        {
            "_server": type(None),
            "config": uvicorn.Config,
            "exitcode": type(None),
            "parent_conn": object,
            "pid": type(None),
            "process": multiprocessing.process.BaseProcess,
        },
    ),
}


@pytest.mark.parametrize(
    ("owner", "name"),
    [(owner, name) for owner, names in METHODS.items() for name in names],
    ids=lambda part: part if isinstance(part, str) else part.__name__,
)
def test_a_method_exists_with_the_parameters_that_doorward_passes(owner: type, name: str) -> None:
    method = getattr(owner, name)
    _self, *parameters = inspect.signature(method).parameters
    assert parameters == METHODS[owner][name].split()
    assert inspect.iscoroutinefunction(method) == ((owner, name) in COROUTINES)


@pytest.mark.parametrize("what", FIELDS)
def test_a_field_exists_with_the_type_that_doorward_expects(what: str) -> None:
    make, fields = FIELDS[what]
    with make() as owner:
        missing = [name for name in fields if not hasattr(owner, name)]
        assert missing == []
        wrong = {
            name: type(getattr(owner, name))
            for name, kind in fields.items()
            if not isinstance(getattr(owner, name), kind)
        }
        assert wrong == {}


def test_a_request_that_waits_is_queued_with_its_application() -> None:
    with protocol() as connection:
        connection.data_received(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 2)
        [(waiting, app)] = connection.pipeline
        assert isinstance(waiting, RequestResponseCycle)
        assert callable(app)
        connection.loop.run_until_complete(asyncio.gather(*connection.tasks))


def test_a_supervisor_has_what_doorward_replaces() -> None:
    """Read from the source: making one installs its signal handlers."""
    source = inspect.getsource(Multiprocess.__init__)
    for field in ("config", "sockets", "processes_num", "processes", "should_exit"):
        assert f"self.{field}" in source, field
    assert isinstance(inspect.getattr_static(Process, "server"), property)
    assert isinstance(config().timeout_worker_healthcheck, int)
    assert isinstance(config().backlog, int)


def test_a_server_has_the_fields_that_doorward_fills() -> None:
    server = uvicorn.Server(config())
    assert isinstance(server.server_state, ServerState)
    source = inspect.getsource(uvicorn.Server)
    for field in ("self.lifespan", "self.servers", "self.server_state"):
        assert field in source, field
    assert STARTUP_FAILURE == 3
