"""The services: what each one runs, with which environment, on which ports, and in which order they stop."""

import json
import os
import pwd
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.team import clients, environment, postgres
from infra.team.settings import BUCKET, CHECKOUT, Settings

_MLFLOW_AUTH = CHECKOUT / "infra" / "mlflow-auth.ini"


@dataclass(frozen=True)
class Program:
    """What one service runs. Its command holds no secret, as everyone on the machine may read it."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[Path, str] = field(default_factory=dict)
    """Files that it reads, with their content; written for its eyes only."""
    folders: tuple[Path, ...] = ()
    user: str | None = None
    """The account it runs as, if not the one that starts it."""

    def become(self) -> None:
        """Turn this process into the program."""
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path, content in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
                stream.write(content)
        if self.user:
            account = pwd.getpwnam(self.user)
            os.initgroups(self.user, account.pw_gid)
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
        os.execvpe(self.command[0], self.command, environment.clean(self.environment))


@dataclass(frozen=True)
class Service:
    """One service."""

    program: Callable[[Settings], Program]
    ports: tuple[str, ...] = ()
    """Settings that name its ports."""
    grpc_ports: bool = False
    """Each port takes the one 10000 above it, too."""
    patience_s: int = 60
    """How long it may take until it answers."""
    stop_signal: str = "TERM"
    stop_wait_s: int = 20
    """How long it may take to stop before it is killed."""

    def all_ports(self, settings: Settings) -> dict[int, str]:
        """Return its ports, each with the setting that names it."""
        named = {settings.port(name): name for name in self.ports}
        return named | ({port + 10_000: name for port, name in named.items()} if self.grpc_ports else {})


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _postgres(settings: Settings) -> Program:
    command = [str(postgres.binary("postgres")), "-D", str(postgres.folder(settings))]
    options = {
        "listen_addresses": settings["POSTGRES_HOST"],
        "port": settings["POSTGRES_PORT"],
        "unix_socket_directories": str(postgres.socket_folder(settings)),
        "max_connections": "200",
        "log_line_prefix": "%m [%p] %q%u@%d ",
    }
    words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    return Program((*command, *words), user=postgres.account())


def _s3(settings: Settings) -> Program:
    folder, identities = settings.home / "objects", settings.run / "s3.json"
    # Only the S3 port asks for keys; the store's own ports are for this machine, or for the store's own container.
    command = [_tool("weed"), "mini", f"-dir={folder}", "-ip=127.0.0.1", f"-ip.bind={settings['LISTEN_HOST']}"]
    command += ["-master.telemetry=false", "-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += [f"-s3.config={identities}", f"-s3.localSocket={settings.run / 's3.sock'}"]
    command += [
        "-s3.iam=false",
        "-s3.autoCreateBucket=false",
    ]  # a bucket's mistyped name must not become a second store
    names = {"s3": "S3_PORT"} | {part: f"S3_{part.upper()}_PORT" for part in ("master", "volume", "filer", "admin")}
    command += [f"-{part}.port={settings.port(name)}" for part, name in names.items()]
    return Program(tuple(command), files={identities: _identities(settings)}, folders=(folder,))


def _identities(settings: Settings) -> str:
    rights = {
        "admin": ["Admin"],
        "worker": [f"{action}:{BUCKET}" for action in ("Read", "Write", "List", "Tagging")],
        "reader": [f"{action}:{BUCKET}" for action in ("Read", "List")],
        "mlflow": [f"{action}:{BUCKET}/mlflow/*" for action in ("Read", "Write", "Tagging")] + [f"List:{BUCKET}"],
    }
    identities = [
        {"name": name, "credentials": [{"accessKey": name, "secretKey": secret}], "actions": rights[name]}
        for name in rights
        for secret in [settings[f"S3_{name.upper()}_SECRET"]]
    ]
    return json.dumps({"identities": identities}, indent=1)


def _mlflow(settings: Settings) -> Program:
    auth, port = settings.run / "mlflow-auth.ini", settings.port("MLFLOW_PORT")
    hosts = dict.fromkeys(
        [
            f"{settings['MLFLOW_HOST']}:{port}",
            f"127.0.0.1:{port}",
            f"localhost:{port}",
            *settings.items_of("MLFLOW_ALLOWED_HOSTS"),
        ]
    )
    origins = [f"http://127.0.0.1:{port}", *settings.items_of("MLFLOW_CORS_ORIGINS")]
    command = [_tool("mlflow"), "server", f"--host={settings['LISTEN_HOST']}", f"--port={port}"]
    command += [f"--workers={settings.whole('MLFLOW_WORKERS')}", "--app-name=basic-auth", "--enable-workspaces"]
    command += [f"--backend-store-uri={settings.database_url('psycopg2', 'mlflow')}"]
    command += [f"--artifacts-destination=s3://{BUCKET}/mlflow"]
    command += [f"--allowed-hosts={','.join(hosts)}", f"--cors-allowed-origins={','.join(origins)}"]
    tables = settings.database_url("psycopg2", "mlflow_auth")
    tables = tables.replace("@", f":{settings['POSTGRES_MLFLOW_AUTH_PASSWORD']}@", 1)
    own = {
        "PGPASSWORD": settings["POSTGRES_MLFLOW_PASSWORD"],
        "MLFLOW_AUTH_CONFIG_PATH": str(auth),
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": settings["MLFLOW_ADMIN_PASSWORD"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": settings["MLFLOW_SECRET_KEY"],
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_S3_ENDPOINT_URL": settings.url("s3"),
        **clients.object_store(settings, "mlflow"),
    }
    return Program(tuple(command), own, {auth: f"{_MLFLOW_AUTH.read_text()}database_uri = {tables}\n"})


def _prefect(settings: Settings) -> Program:
    home, port = settings.home / "prefect", settings.port("PREFECT_PORT")
    command = (_tool("prefect"), "server", "start", "--host", settings["LISTEN_HOST"], "--port", str(port))
    own = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": settings.database_url("asyncpg", "prefect"),
        "PGPASSWORD": settings["POSTGRES_PREFECT_PASSWORD"],
        "PREFECT_SERVER_API_AUTH_STRING": settings["PREFECT_AUTH"],
        "PREFECT_API_AUTH_STRING": settings["PREFECT_AUTH"],  # the server's own services call it, too
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
        "PREFECT_SERVER_UI_API_URL": settings.values["PREFECT_UI_API_URL"] or f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"P{settings.whole('PREFECT_EVENTS_RETENTION_DAYS')}D",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(
            86_400 * settings.whole("PREFECT_RUNS_RETENTION_DAYS")
        ),
    }
    return Program(command, own, folders=(home, home / "ui"))


def _worker(settings: Settings) -> Program:
    command = (_tool("kintsugi"), "worker", "--grace-s", "60")
    home = settings.home / "worker"
    own = {
        "KINTSUGI_HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "KINTSUGI_NOTIFY": settings.values["NOTIFY"],
    }
    return Program(command, {**clients.variables(settings, "worker"), **own}, folders=(home, home / "prefect"))


def _serve(settings: Settings) -> Program:
    command = (_tool("kintsugi"), "serve", "--host", settings["LISTEN_HOST"], "--port", settings["SERVE_PORT"])
    home = settings.home / "serve"
    own = {"KINTSUGI_HOME": str(home), "PREFECT_HOME": str(home / "prefect")}
    names = [settings["SERVE_HOST"], *settings.items_of("SERVE_ALLOWED_HOSTS")]
    own |= {"KINTSUGI_SERVE_AUTH": settings["SERVE_AUTH"], "KINTSUGI_SERVE_HOSTS": ",".join(names)}
    return Program(command, {**clients.variables(settings, "reader"), **own}, folders=(home,))


_STORE_PORTS = ("S3_PORT", "S3_MASTER_PORT", "S3_VOLUME_PORT", "S3_FILER_PORT", "S3_ADMIN_PORT")

SERVICES: dict[str, Service] = {
    "postgres": Service(_postgres, ("POSTGRES_PORT",), stop_signal="INT", stop_wait_s=60),  # INT: a fast shutdown
    "s3": Service(_s3, _STORE_PORTS, grpc_ports=True, stop_wait_s=30),
    "mlflow": Service(_mlflow, ("MLFLOW_PORT",), patience_s=180),
    "prefect": Service(_prefect, ("PREFECT_PORT",), patience_s=180),
    "serve": Service(_serve, ("SERVE_PORT",), patience_s=120, stop_wait_s=30),
    "worker": Service(_worker, patience_s=120, stop_wait_s=90),  # trainings write a checkpoint
}
"""In the order in which they start; they stop in the reverse order."""
