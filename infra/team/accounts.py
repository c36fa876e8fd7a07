"""Accounts of MLflow: who may read, and who may also make experiments and models, by two roles."""

import urllib.error
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from infra.team import http
from infra.team.settings import Settings

_WORKSPACE = "default"
RIGHTS = {
    "makers": {"workspace": "USE", "experiment": "EDIT", "registered_model": "EDIT"},
    "readers": {"experiment": "READ", "registered_model": "READ"},
}
"""What each role may do with all experiments and models. Who makes one owns it, and may delete it; no other may."""

ROLE_OF = {"worker": "makers", "reader": "readers"}


@dataclass
class Accounts:
    """MLflow's accounts, seen as its administrator."""

    settings: Settings
    _roles: dict[str, int] = field(default_factory=dict)

    def make_services(self) -> None:
        """Make the accounts `worker` and `reader` as the settings say."""
        for name, role in ROLE_OF.items():
            self.make(name, self.settings[f"MLFLOW_{name.upper()}_PASSWORD"], role)

    def exists(self, name: str) -> bool:
        """Say whether there is an account of that name."""
        try:
            self._call(f"2.0/mlflow/users/get?username={quote(name)}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return False
        return True

    def make(self, name: str, password: str, role: str) -> None:
        """Make an account, or give the one that is there this password; let it have one role."""
        if self.exists(name):
            if not self._knows(name, password):
                self._call("2.0/mlflow/users/update-password", {"username": name, "password": password}, "PATCH")
        else:
            self._call("2.0/mlflow/users/create", {"username": name, "password": password})
        has = {
            one["name"]: one["id"] for one in self._call(f"3.0/mlflow/users/roles/list?username={quote(name)}")["roles"]
        }
        for other in has.keys() & RIGHTS.keys() - {role}:
            self._call("3.0/mlflow/roles/unassign", {"username": name, "role_id": has[other]}, "DELETE")
        if role not in has:
            self._call("3.0/mlflow/roles/assign", {"username": name, "role_id": self._role(role)})

    def _role(self, name: str) -> int:
        """Return the number of a role, which is made if it is not there."""
        if not self._roles:
            self._roles = {
                one["name"]: one["id"] for one in self._call(f"3.0/mlflow/roles/list?workspace={_WORKSPACE}")["roles"]
            }
        if name not in self._roles:
            made = self._call("3.0/mlflow/roles/create", {"name": name, "workspace": _WORKSPACE, "description": ""})
            self._roles[name] = made["role"]["id"]
        number = self._roles[name]
        there = self._call(f"3.0/mlflow/roles/permissions/list?role_id={number}")["role_permissions"]
        for kind in RIGHTS[name].keys() - {one["resource_type"] for one in there}:
            right = {
                "role_id": number,
                "resource_type": kind,
                "resource_pattern": "*",
                "permission": RIGHTS[name][kind],
            }
            self._call("3.0/mlflow/roles/permissions/add", right)
        return number

    def _knows(self, name: str, password: str) -> bool:
        try:
            http.call(f"{self.settings.url('mlflow')}/api/2.0/mlflow/users/current", f"{name}:{password}")
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            return False
        return True

    def _call(self, path: str, body: object = None, method: str | None = None) -> Any:  # noqa: ANN401 - JSON
        login = f"admin:{self.settings['MLFLOW_ADMIN_PASSWORD']}"
        return http.call(f"{self.settings.url('mlflow')}/api/{path}", login, body, method)
