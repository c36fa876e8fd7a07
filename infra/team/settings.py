"""The settings file of the team's servers: made once with random passwords, read by all services, never overwritten."""

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "infra" / "env.example"
DEFAULT_FILE = CHECKOUT / "infra" / ".env"
BUCKET = "kintsugi"
POOLS = ("kintsugi", "kintsugi-light")
ROLES = ("postgres", "prefect", "mlflow", "mlflow_auth")
"""Accounts of PostgreSQL: the superuser, then the owners of the databases of the same names."""

_SECRET = re.compile(r"_(PASSWORD|SECRET|SECRET_KEY|AUTH)$")
_LOOPBACK = dict.fromkeys(
    ("LISTEN_HOST", "POSTGRES_HOST", "S3_HOST", "MLFLOW_HOST", "PREFECT_HOST", "SERVE_HOST"), "127.0.0.1"
)
"""Not in the file, so that no line of it can open a server to the world; containers have them in their environment."""


@dataclass(frozen=True)
class Settings:
    """What the settings file says, over the defaults of `infra/env.example`."""

    file: Path
    values: Mapping[str, str] = field(repr=False)  # with passwords

    @classmethod
    def read(cls, file: Path) -> "Settings":
        """Return the settings of a file.

        Raises:
            ValueError: the file is not there, may be read by others, or has a line that is not understood.
        """
        if not file.is_file():
            raise ValueError(f"{file}: not there yet; `python -m infra.team up` makes it")
        if file.stat().st_mode & 0o077:
            raise ValueError(f"{file}: others may read it, and it holds passwords; chmod 600 {file}")
        defaults, found = _pairs(EXAMPLE), _pairs(file)
        unknown = sorted(name for name in found.keys() - defaults.keys() if not name.startswith("COMPOSE_"))
        if unknown:
            raise ValueError(f"{file}: {', '.join(unknown)}: no such setting; {EXAMPLE.name} lists all")
        settings = cls(file, {**_LOOPBACK, **defaults, **found})
        settings._check()
        return settings

    @classmethod
    def from_environment(cls) -> "Settings":
        """Return what this process's environment says, as in a container; passwords of other services are empty."""
        defaults = {**_LOOPBACK, **_pairs(EXAMPLE)}
        return cls(Path("the environment"), {name: os.environ.get(name, default) for name, default in defaults.items()})

    def __getitem__(self, name: str) -> str:
        """Return a setting that must not be empty."""
        if not self.values[name]:
            raise ValueError(f"{self.file}: {name} is empty; expected a value")
        return self.values[name]

    def whole(self, name: str, most: int = 1_000_000) -> int:
        """Return a setting that is a whole number, at least 1."""
        text = self.values[name]
        if not text.isdecimal() or not 0 < int(text) <= most:
            raise ValueError(f"{self.file}: {name}={text}: expected a whole number, 1 to {most}")
        return int(text)

    def port(self, name: str) -> int:
        """Return a port."""
        return self.whole(name, 65_535)

    def items_of(self, name: str) -> list[str]:
        """Return a setting that is a list with commas."""
        return [item.strip() for item in self.values[name].split(",") if item.strip()]

    @property
    def home(self) -> Path:
        """All that the servers keep."""
        return (CHECKOUT / self["TEAM_HOME"]).resolve()

    @property
    def run(self) -> Path:
        """What lives as long as the servers do: sockets, and files made from the settings."""
        return self.home / "run"

    @property
    def logs(self) -> Path:
        """One log per service."""
        return self.home / "logs"

    def url(self, service: str) -> str:
        """Return the address of `s3`, `mlflow`, `prefect` or `serve`."""
        return f"http://{self[f'{service.upper()}_HOST']}:{self.port(f'{service.upper()}_PORT')}"

    def database_url(self, driver: str, role: str) -> str:
        """Return the address of the database that a role owns, without its password."""
        return f"postgresql+{driver}://{role}@{self['POSTGRES_HOST']}:{self.port('POSTGRES_PORT')}/{role}"

    def database_password(self, role: str) -> str:
        """Return the password of an account of PostgreSQL."""
        return self["POSTGRES_PASSWORD" if role == "postgres" else f"POSTGRES_{role.upper()}_PASSWORD"]

    def _check(self) -> None:
        for name in self.values:
            if name.endswith("_PORT"):
                self.port(name)
            if _SECRET.search(name) and len(self[name]) < 12:
                raise ValueError(f"{self.file}: {name} is too short; expected at least 12 characters")
        for name in ("PREFECT_AUTH", "SERVE_AUTH"):
            if not re.fullmatch(r"[^:]+:.+", self[name]):
                raise ValueError(f'{self.file}: {name}: expected "user:password"')


def generate(file: Path, changes: Mapping[str, str] | None = None) -> None:
    """Make a settings file from the example: secrets at random, `changes` as given; mode 0600.

    Raises:
        FileExistsError: the file is there already; it is not touched.
    """
    text = EXAMPLE.read_text()
    for name, value in _pairs(EXAMPLE).items():
        if changes and name in changes:
            value = changes[name]
        elif _SECRET.search(name):
            value = ("team:" if name.endswith("_AUTH") else "") + secrets.token_hex(24)
        text = re.sub(rf"^{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)


def _pairs(file: Path) -> dict[str, str]:
    found = {}
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            raise ValueError(f"{file}:{number}: expected NAME=value")
        if re.search(r"['\"$\\#]", value):  # Compose, shells and this file would each read them in their own way
            raise ValueError(f"{file}:{number}: {name}: quotes, $, # and \\ are not understood in values")
        found[name] = value.strip()
    return found
