"""Names in the environment: misspelt settings, and those of other programs."""

from pathlib import Path

import pytest

from doorward.core.errors import CannotStart
from doorward.settings import Settings, describe

CANARY = "CANARY7f3a9c"


def refusal(folder: Path, name: str, value: str = CANARY) -> str:
    """Expect a refusal and return its sentence."""
    with pytest.raises(CannotStart) as reason:
        Settings.read({name: value}, folder)
    assert value not in str(reason.value)
    return str(reason.value)


MISTYPED = {
    "JWT_KEYS": "JWT_KEY",
    "JWT_KYE": "JWT_KEY",
    "JWTKEY": "JWT_KEY",
    "JWT_KEY_FIL": "JWT_KEY_FILE",
    "THROTLER_MAX": "THROTTLER_MAX",
    "THROTTLER_MAC": "THROTTLER_MAX",
    "TENANT_WHITELIST": "TENANT_WHITE_LIST",
    "TENANTS_WHITE_LIST": "TENANT_WHITE_LIST",
    "DATABASE_URLS": "DATABASE_URL",
    "DATABASE_URI": "DATABASE_URL",
    "DATBASE_URL": "DATABASE_URL",
    "REDIS_ULR": "REDIS_URL",
    "REDISURL": "REDIS_URL",
    "SESSION_PER_USER": "SESSIONS_PER_USER",
    "TRUSTED_PROXY": "TRUSTED_PROXIES",
    "CORS_ORIGIN": "CORS_ORIGINS",
    "ALLOWED_HOST": "ALLOWED_HOSTS",
    "HASH_MEMROY": "HASH_MEMORY",
    "LOG_LEVEL_FILES": "LOG_LEVEL_FILE",
    "LOGIN_ERROR": "LOGIN_ERRORS",
    "HTTP_SERVERS": "HTTP_SERVER",
    "MAINTAIN_TLS_CACN": "MAINTAIN_TLS_CA_CN",
}


@pytest.mark.parametrize("name", MISTYPED)
def test_CF4_F3_a_mistyped_name_is_refused_with_the_right_one(tmp_path: Path, name: str) -> None:
    assert refusal(tmp_path, name) == f"{name} is not a setting; did you mean {MISTYPED[name]}?"


@pytest.mark.parametrize("name", [item["name"] for item in describe() if "_" in item["name"]])
def test_CF4_F3_two_swapped_letters_are_seen_in_every_name(tmp_path: Path, name: str) -> None:
    place = next(place for place in range(len(name) - 2, 0, -1) if "_" not in name[place : place + 2])
    mistyped = name[:place] + name[place + 1] + name[place] + name[place + 2 :]
    if mistyped != name:
        assert refusal(tmp_path, mistyped) == f"{mistyped} is not a setting; did you mean {name}?"


SIMILAR = {"JWT_KEY_EXPIRY": "JWT_KEY_EXP", "THROTTLER_MAXIMUM": "THROTTLER_MAX", "DATABASE_POOLING": "DATABASE_POOL"}


@pytest.mark.parametrize("name", SIMILAR)
def test_F3_a_name_that_is_only_similar_is_warned_about(tmp_path: Path, name: str) -> None:
    [warning] = Settings.read({name: CANARY}, tmp_path).warnings
    assert warning == f"{name} in the environment is not a setting and has no effect; did you mean {SIMILAR[name]}?"


SLIPS = {
    "WORKER": "WORKERS",
    "WORKERSS": "WORKERS",
    "WORKRES": "WORKERS",
    "PORTS": "PORT",
    "PRT": "PORT",
    "PROT": "PORT",
    "HHOST": "HOST",
    "HSOT": "HOST",
    "DOCCS": "DOCS",
    "DATADIR": "DATA_DIR",
}


@pytest.mark.parametrize("name", SLIPS)
def test_F3_a_slip_in_a_name_that_may_be_another_programs_is_warned_about(tmp_path: Path, name: str) -> None:
    [warning] = Settings.read({name: CANARY}, tmp_path).warnings
    assert warning == f"{name} in the environment is not a setting and has no effect; did you mean {SLIPS[name]}?"


def test_CF4_the_guess_at_a_name_in_the_env_file_ends_with_one_mark(tmp_path: Path) -> None:
    for name, end in (("PRT", "did you mean PORT?"), ("ENTIRELY_UNKNOWN", "`doorward settings` lists them all.")):
        (tmp_path / ".env").write_text(f"{name}=1\n")
        with pytest.raises(CannotStart) as reason:
            Settings.read({}, tmp_path)
        assert str(reason.value) == f"{name} in .env is not a setting; {end}"


FOREIGN = {
    "shells": "PATH HOME USER SHELL TERM LANG LANGUAGE LC_ALL LC_CTYPE PWD OLDPWD SHLVL _ HOSTNAME LOGNAME TZ EDITOR "
    "PAGER VISUAL MAIL DISPLAY COLUMNS LINES NO_COLOR COLORTERM LS_COLORS TERM_PROGRAM PS1 IFS ENV BASH_ENV HISTFILE "
    "SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION SSH_TTY GPG_TTY SUDO_USER SUDO_COMMAND TMPDIR TEMP HOSTS HOSTTYPE GROUPS "
    "MACHTYPE OSTYPE POST DOC SORT PART COST FORT DOCK HOST_IP HOST_NAME",
    "proxies": "HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY FTP_PROXY http_proxy https_proxy no_proxy all_proxy "
    "HTTPS_PROXY_REQUEST_FULLURI SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS",
    "systemd": "NOTIFY_SOCKET INVOCATION_ID JOURNAL_STREAM LISTEN_FDS LISTEN_PID LISTEN_FDNAMES WATCHDOG_USEC MAINPID "
    "WATCHDOG_PID CREDENTIALS_DIRECTORY STATE_DIRECTORY RUNTIME_DIRECTORY CACHE_DIRECTORY LOGS_DIRECTORY MANAGERPID "
    "CONFIGURATION_DIRECTORY SYSTEMD_EXEC_PID SYSTEMD_LOG_LEVEL SYSTEMD_LOG_TARGET SYSTEMD_COLORS MEMORY_PRESSURE_WATCH "
    "XDG_RUNTIME_DIR XDG_SESSION_ID XDG_DATA_DIRS DBUS_SESSION_BUS_ADDRESS",
    "Docker": "container DOCKER_HOST DOCKER_CONFIG DOCKER_BUILDKIT COMPOSE_PROJECT_NAME COMPOSE_FILE BUILDKIT_HOST "
    "DEBIAN_FRONTEND GPG_KEY PYTHON_VERSION PYTHON_SHA256 PYTHON_PIP_VERSION PYTHONUNBUFFERED PYTHONPATH VIRTUAL_ENV "
    "PYTHONDONTWRITEBYTECODE DB_NAME DB_ENV_POSTGRES_VERSION REDIS_ENV_REDIS_VERSION",
    "Heroku": "DYNO DYNO_RAM WEB_CONCURRENCY STACK SOURCE_VERSION HEROKU_APP_NAME HEROKU_SLUG_COMMIT REDIS_TLS_URL "
    "HEROKU_POSTGRESQL_COBALT_URL DATABASE_URL_UNPOOLED DATABASE_CONNECTION_POOL_URL DATABASE_MAX_CONNECTIONS "
    "HEROKU_REDIS_AMBER_URL HEROKU_RELEASE_VERSION FORWARDED_ALLOW_IPS JEMALLOC_ENABLED",
    "Render": "RENDER RENDER_SERVICE_NAME RENDER_EXTERNAL_URL RENDER_EXTERNAL_HOSTNAME RENDER_GIT_COMMIT "
    "RENDER_INSTANCE_ID RENDER_SERVICE_TYPE RENDER_DISCOVERY_SERVICE RENDER_CPU_COUNT IS_PULL_REQUEST",
    "Fly": "FLY_APP_NAME FLY_MACHINE_ID FLY_ALLOC_ID FLY_REGION FLY_PUBLIC_IP FLY_IMAGE_REF FLY_PRIVATE_IP "
    "FLY_PROCESS_GROUP FLY_VM_MEMORY_MB PRIMARY_REGION",
    "Railway": "RAILWAY_PUBLIC_DOMAIN RAILWAY_PRIVATE_DOMAIN RAILWAY_TCP_PROXY_PORT RAILWAY_PROJECT_NAME "
    "RAILWAY_SERVICE_ID RAILWAY_ENVIRONMENT_NAME RAILWAY_VOLUME_MOUNT_PATH RAILWAY_STATIC_URL DATABASE_PUBLIC_URL "
    "REDIS_PUBLIC_URL PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGDATA REDISHOST REDISPORT REDISUSER REDISPASSWORD",
    "cloud": "AWS_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_EXECUTION_ENV K_SERVICE "
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI ECS_CONTAINER_METADATA_URI_V4 K_REVISION K_CONFIGURATION FUNCTION_TARGET "
    "GOOGLE_APPLICATION_CREDENTIALS GOOGLE_CLOUD_PROJECT AZURE_TENANT_ID AZURE_CLIENT_ID TENANT_ID WEBSITE_HOSTNAME "
    "WEBSITES_PORT VERCEL_URL VCAP_SERVICES VCAP_APPLICATION CF_INSTANCE_PORTS NOMAD_PORT_http NOMAD_ADDR_http "
    "DIGITALOCEAN_ACCESS_TOKEN MESOS_SANDBOX MARATHON_APP_ID",
    "GitHub Actions": "CI GITHUB_ACTIONS GITHUB_TOKEN GITHUB_SHA GITHUB_REF GITHUB_WORKSPACE GITHUB_REPOSITORY "
    "GITHUB_RUN_ID GITHUB_EVENT_PATH RUNNER_OS RUNNER_TEMP RUNNER_TOOL_CACHE ACTIONS_RUNTIME_URL ImageOS",
    "GitLab CI": "GITLAB_CI CI_COMMIT_SHA CI_COMMIT_REF_NAME CI_JOB_TOKEN CI_JOB_ID CI_PROJECT_DIR CI_PIPELINE_ID "
    "CI_SERVER_URL CI_SERVER_PORT CI_REGISTRY_PASSWORD CI_API_V4_URL CI_DEBUG_TRACE CI_SERVER_HOST FF_USE_FASTZIP",
    "other CI": "JENKINS_URL BUILD_NUMBER WORKSPACE TRAVIS CIRCLECI CIRCLE_SHA1 BUILDKITE_AGENT_ACCESS_TOKEN TF_BUILD "
    "SYSTEM_TEAMPROJECT BITBUCKET_COMMIT DRONE_REPO TEAMCITY_VERSION",
    "stores": "POSTGRES_PASSWORD POSTGRES_USER POSTGRES_DB POSTGRES_URL MYSQL_ROOT_PASSWORD REDIS_HOST REDIS_PASSWORD "
    "REDIS_URL_2 DATABASE_URL2 DATABASE_HOST DATABASE_NAME DATABASE_USER DATABASE_USERNAME DATABASE_PASSWORD "
    "DATABASE_PORT DATABASE_SSL DB_HOST DB_URL MONGO_URL RABBITMQ_URL AMQP_URL",
    "applications": "SECRET_KEY JWT_SECRET JWT_ISSUER JWT_ALGORITHM JWT_SECRET_KEY JWT_REFRESH_SECRET NODE_ENV DEBUG "
    "RAILS_ENV RACK_ENV DJANGO_SETTINGS_MODULE FLASK_APP SENTRY_DSN NEW_RELIC_LICENSE_KEY DD_AGENT_HOST DD_TRACE_AGENT_URL "
    "STATSD_HOST ADMIN_EMAIL BASE_URL APP_URL SITE_URL API_URL AUTH_URL SMTP_HOST MAIL_HOST LOGLEVEL LOG_DIR LOG_FILE "
    "HTTP_PORT HTTP_HOST SERVER_PORT API_PORT ADMIN_PORT MANAGEMENT_PORT SSL_CERT SSL_KEY TLS_CERT TLS_KEY HOSTFILE "
    "HASH_SALT HASH_ALGORITHM LOGIN_URL LOGIN_REDIRECT_URL MAX_WORKERS WORKER_PROCESSES NUM_WORKERS GOMAXPROCS "
    "THROTTLE_TTL THROTTLE_LIMIT CORS_ALLOWED_ORIGINS ALLOW_ORIGINS OTEL_SERVICE_NAME OTEL_LOG_LEVEL",
}


@pytest.mark.parametrize("program", FOREIGN)
def test_F3_other_programs_variables_stop_nothing_and_cause_no_warning(tmp_path: Path, program: str) -> None:
    found = Settings.read(dict.fromkeys(FOREIGN[program].split(), "x"), tmp_path)
    assert found == Settings.read({}, tmp_path)
    assert found.warnings == ()


# As a Kubernetes service of this name and a port of 80 puts them into every pod, and a Docker link into a container.
SERVICES = ["kubernetes", "doorward", "database", "redis", "postgres", "metrics", "https", "http", "jwt", "jwt-key"]
SERVICES += ["log", "redis-ur", "tenant-white-list", "maintain-tls", "data-dir"]


@pytest.mark.parametrize("service", SERVICES)
def test_F3_service_links_stop_nothing_whatever_the_service_is_called(tmp_path: Path, service: str) -> None:
    name = service.upper().replace("-", "_")
    links = {
        f"{name}_SERVICE_HOST": "10.96.0.7",
        f"{name}_SERVICE_PORT": "80",
        f"{name}_SERVICE_PORT_HTTP": "80",
        f"{name}_SERVICE_PORT_HTTPS": "443",
        f"{name}_PORT": "tcp://10.96.0.7:80",
        f"{name}_PORT_80_TCP": "tcp://10.96.0.7:80",
        f"{name}_PORT_80_TCP_PROTO": "tcp",
        f"{name}_PORT_80_TCP_PORT": "80",
        f"{name}_PORT_80_TCP_ADDR": "10.96.0.7",
        f"{name}_PORT_53_UDP": "udp://10.96.0.7:53",
        f"{name}_ENV_VERSION": "9",
        f"{name}_NAME": f"/web/{service}",
    }
    found = Settings.read(links, tmp_path)
    assert found == Settings.read({}, tmp_path)
    assert found.warnings == ()


def test_F3_an_address_in_place_of_the_port_itself_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "PORT", "tcp://10.96.0.7:80").startswith("PORT has to be a whole number")
