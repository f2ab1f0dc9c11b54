"""Sealed machines with a real container engine, made of Debian's packages alone; no image registry is needed.

A machine is a set of Linux namespaces on a root file system of its own. Its processes, mounts, networks and published
ports are its own, and all of them end with its first process, so nothing is left on the computer that runs the tests.
"""

import contextlib
import os
import pty
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
# Kept for the next run; `make clean` removes it.
WORK = PROJECT / "build" / "image"
ENGINES = ("docker", "podman")

# trixie has the Python of the official base image. The next release has the stores' and nginx' versions of the
# compose files, and a Docker engine with Compose.
ROOTS = {
    "base": ("trixie", ["python3", "python3-venv", "ca-certificates"]),
    "stores": ("forky", ["postgresql-18", "libnss-wrapper", "valkey-server", "nginx-light", "gettext-base"]),
    "engine": (
        "forky",
        [
            "docker.io", "docker-cli", "docker-compose", "docker-buildx", "podman", "netavark", "aardvark-dns", "runc",
            "iptables", "nftables", "iproute2", "procps", "ca-certificates", "curl", "python3", "make", "openssl",
        ],
    ),
}  # fmt: skip
_KEPT_OPEN = min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
_CONTAINERS_CONF = f"""
[containers]
default_ulimits = ["nofile={_KEPT_OPEN}:{_KEPT_OPEN}", "nproc=8192:8192"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
# Runs a command in namespaces that end with this process, even if it is killed.
_SEALED = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]
# What of pip's configuration is about reaching an index.
_PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries")


def _mirror() -> str:
    """Return the address that this machine's apt takes Debian's packages from."""
    command = ["apt-get", "indextargets", "--format", "$(SITE) $(COMPONENT) $(RELEASE)", "Created-By: Packages"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
    return next(line.split()[0] for line in lines if line.split()[1] == "main" and "security" not in line)


def make_root(name: str) -> Path:
    """Make the root file system `name` by debootstrap unless it is there; return its folder."""
    folder = WORK / name
    made = WORK / f"{name}.made"
    if made.exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    suite, packages = ROOTS[name]
    # The script of sid serves every newer suite, also those that this debootstrap has no name for.
    command = [*_SEALED, "debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, str(folder)]
    command += [_mirror(), "/usr/share/debootstrap/scripts/sid"]
    with (WORK / f"{name}.log").open("w") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log, timeout=900)
    for unneeded in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(folder / unneeded)
    if name == "engine":
        (folder / "etc/containers").mkdir(exist_ok=True)
        (folder / "etc/containers/containers.conf").write_text(_CONTAINERS_CONF)
        install_podman_compose(folder)
    made.touch()
    return folder


def install_podman_compose(root: Path) -> None:
    """Install the locked podman-compose into a root file system."""
    target = root / "opt" / "podman-compose"
    lock = PROJECT / "requirements" / "podman-compose.txt"
    subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "install", "--require-hashes", "--no-deps", "--target", str(target),
         "--only-binary", ":all:", "-r", str(lock)],
        check=True, timeout=300,
    )  # fmt: skip
    program = root / "usr/local/bin/podman-compose"
    program.write_text('#!/bin/sh\nPYTHONPATH=/opt/podman-compose exec python3 -m podman_compose "$@"\n')
    program.chmod(0o755)


def make_roots() -> dict[str, Path]:
    WORK.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(ROOTS)) as pool:
        return dict(zip(ROOTS, pool.map(make_root, ROOTS), strict=True))


def copy_project(folder: Path) -> None:
    """Copy what git knows of the project, as a clone would have it, changes that are not committed included."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    names = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, timeout=60).stdout.split(b"\0")
    for name in map(os.fsdecode, filter(None, names)):
        if (PROJECT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)


def share_pip_configuration(root: Path) -> None:
    """Give a root file system the pip.conf and the certificate authorities with which this machine reaches its index."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    found = dict(re.findall(r"^(?:global|install|:env:)\.([\w-]+)='(.*)'$", listed, re.MULTILINE))
    lines = ["[global]", *(f"{key} = {value}" for key, value in found.items() if key in _PIP_KEYS)]
    if "cert" in found:
        shutil.copy(found["cert"], root / "etc/ssl/certs/ca-certificates.crt")
    (root / "root/.config/pip").mkdir(parents=True, exist_ok=True)
    (root / "root/.config/pip/pip.conf").write_text("\n".join([*lines, "cert = /run/secrets/ca", ""]))
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")


@dataclass
class Machine:
    """A running machine. Commands are run in /doorward, a copy of the project, with an environment of their own."""

    engine: str
    pid: int

    def _command(self, script: str) -> list[str]:
        return [
            "nsenter", f"--target={self.pid}", "--mount", "--pid", "--net", "/usr/bin/env", "--ignore-environment",
            "PATH=/usr/local/bin:/usr/sbin:/usr/bin", "HOME=/root", "TERM=dumb", "BUILDKIT_PROGRESS=plain",
            "PODMAN_IGNORE_CGROUPSV1_WARNING=1",
            "/bin/bash", "-euc", f"cd /doorward\n{script}",
        ]  # fmt: skip

    def run(self, script: str, *, timeout: float = 120, stdin: IO[bytes] | None = None) -> str:
        """Run a script; return what it printed. An exit code other than 0 is an error that shows both outputs."""
        with self.start(script, stdin=stdin) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                kill(process)
                raise
        assert process.returncode == 0, f"{script}\nexit code {process.returncode}\n{out}\n{err}"
        return out

    def start(self, script: str, *, stdin: IO[bytes] | None = None) -> "subprocess.Popen[str]":
        """Start a script in a process group of its own, which `kill` ends."""
        return subprocess.Popen(
            self._command(script),
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def type(self, script: str, answers: dict[str, str], *, timeout: float = 60) -> str:
        """Run a script at a terminal and type an answer after each prompt; return what the terminal showed."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(self._command(script), stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown, waiting, until = "", dict(answers), time.monotonic() + timeout
        with contextlib.suppress(OSError):  # the other side is closed when the process has ended
            while time.monotonic() < until:
                if not select.select([ours], [], [], 1)[0]:
                    continue
                shown += os.read(ours, 4096).decode(errors="replace")
                for prompt in [prompt for prompt in waiting if prompt in shown]:
                    os.write(ours, f"{waiting.pop(prompt)}\n".encode())
        os.close(ours)
        code = process.wait(timeout=10)
        assert (code, waiting) == (0, {}), f"{script}\nexit code {code}\n{shown}"
        return shown

    def translate(self, script: str) -> str:
        """Return a script of the documentation in the words of this machine's engine and without sudo."""
        script = re.sub(r"\bsudo ", "", script)
        if self.engine == "docker":
            return script
        return re.sub(r"\bdocker (?=[a-z-])", "podman ", re.sub(r"\bdocker compose\b", "podman-compose", script))


def kill(process: "subprocess.Popen[str]") -> None:
    """Kill a script that was started: nsenter is its parent, which forks."""
    os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def machine(engine: str, root: Path, storage: Path, project: Path, *, sealed: bool) -> Iterator[Machine]:
    """Start a machine with an engine; a sealed one has a network of its own, another one that of this computer."""
    options = [] if sealed else ["--bridge=none", "--iptables=false", "--ip6tables=false"]
    command = [*_SEALED, *(["--net"] if sealed else []), str(HERE / "machine.sh")]
    command += [str(root), str(storage), str(project), engine, *options]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        ready = process.stdout.readline() == b"ready\n"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        try:
            if not ready:
                raise RuntimeError(f"{engine} does not start: {process.stderr.read().decode()}")
            yield Machine(engine, int(children.read_text().split()[0]))
        finally:
            # The parent returns when the kernel has ended every process of the machine.
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGKILL)
            process.wait(timeout=60)
            remove_control_groups()


def remove_control_groups() -> None:
    """Remove the control groups of engines that have no process: they belong to no namespace that ends."""
    for parent in ("docker", "libpod_parent"):
        for top in Path("/sys/fs/cgroup").glob(f"**/{parent}"):
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
