"""The deployment files say what their tools understand, open nothing to the world, and hold no password."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

YAML_FILES = (
    "prefect.yaml",
    "compose.yaml",
    "kubernetes/train.yaml",
    "kubernetes/worker.yaml",
    "kubernetes/workspace.yaml",
)


@pytest.fixture
def infra(root: Path) -> Path:
    return root / "infra"


@pytest.fixture
def compose(infra: Path) -> dict[str, Any]:
    return yaml.safe_load((infra / "compose.yaml").read_text())


def kubernetes_objects(infra: Path) -> list[dict[str, Any]]:
    files = sorted((infra / "kubernetes").glob("*.yaml"))
    return [item for path in files for item in yaml.safe_load_all(path.read_text())]


def pods(infra: Path) -> list[dict[str, Any]]:
    return [item["spec"]["template"]["spec"] for item in kubernetes_objects(infra) if "template" in item["spec"]]


def version(root: Path) -> str:
    return re.search(r'^version = "(.+)"', (root / "pyproject.toml").read_text(), re.MULTILINE)[1]


@pytest.mark.parametrize("name", [*YAML_FILES, "Dockerfile", "slurm/train.sbatch", "env.example", "constraints.txt"])
def test_file_says_what_it_is_for(infra: Path, name: str) -> None:
    lines = (infra / name).read_text().splitlines()
    assert re.match(r"# \w.{20,}", lines[1] if lines[0].startswith("#!") else lines[0])


def test_shell_scripts_parse(root: Path, files: tuple[Path, ...]) -> None:
    scripts = [path for path in files if path.suffix in {".sh", ".sbatch"} or path == root / ".ci" / "run"]
    assert len(scripts) >= 3
    for path in scripts:
        subprocess.run(["bash", "-n", path], check=True, capture_output=True)


def test_prefect_understands_its_deployments(root: Path, infra: Path) -> None:
    from prefect.cli.deploy._models import PrefectYamlModel, RawScheduleConfig

    content = yaml.safe_load((infra / "prefect.yaml").read_text())
    project = PrefectYamlModel.model_validate(content)
    assert {deployment.name for deployment in project.deployments} == {"nightly", "quickstart"}
    for deployment in project.deployments:
        assert deployment.work_pool
        assert deployment.work_pool.name == "kintsugi"
        assert deployment.concurrency_limit.limit == 1
        assert all(isinstance(schedule, RawScheduleConfig) for schedule in deployment.schedules or ())
        assert (root / deployment.parameters["config"]).is_file(), deployment.parameters["config"]


def test_deployed_flow_exists_and_takes_its_parameters(root: Path, infra: Path) -> None:
    import ast

    for deployment in yaml.safe_load((infra / "prefect.yaml").read_text())["deployments"]:
        path, name = deployment["entrypoint"].split(":")
        functions = [node for node in ast.parse((root / path).read_text()).body if isinstance(node, ast.FunctionDef)]
        [flow] = [function for function in functions if function.name == name]
        assert set(deployment["parameters"]) <= {argument.arg for argument in flow.args.args + flow.args.kwonlyargs}


def test_compose_opens_ports_on_loopback_only(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published)
    assert all(service.get("network_mode") != "host" for service in compose["services"].values())


def test_compose_has_no_password_of_its_own(compose: dict[str, Any]) -> None:
    secret = re.compile(r"PASSWORD|SECRET|AUTH_STRING|ACCESS_KEY|_KEY$")
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if secret.search(variable):
                assert re.fullmatch(r"\$\{[A-Z0-9_]+:\?set [A-Z0-9_]+ in infra/\.env\}", value), f"{name}: {variable}"
        assert "@" not in str(service.get("command", "")).replace("kintsugi@postgres", "")


def test_example_environment_names_all_that_compose_asks_for_and_fills_no_secret(infra: Path) -> None:
    needed = set(re.findall(r"\$\{([A-Z0-9_]+):\?", (infra / "compose.yaml").read_text()))
    pairs = re.findall(r"^([A-Z0-9_]+)=(.*)$", (infra / "env.example").read_text(), re.MULTILINE)
    assert needed <= {name for name, _ in pairs}
    assert {name: value for name, value in pairs if name in needed and value} == {}


def test_environment_with_secrets_is_never_committed(root: Path) -> None:
    assert ".env" in (root / ".gitignore").read_text().split()


def test_servers_ask_who_is_there(compose: dict[str, Any], infra: Path) -> None:
    services = compose["services"]
    assert "PREFECT_SERVER_API_AUTH_STRING" in services["prefect"]["environment"]
    assert "--app-name=basic-auth" in services["mlflow"]["command"]
    assert any(word.startswith("--allowed-hosts=") for word in services["mlflow"]["command"])
    assert not any("*" in word for word in services["mlflow"]["command"])
    assert "AWS_SECRET_ACCESS_KEY" in services["s3"]["environment"]
    assert "default_permission = NO_PERMISSIONS" in (infra / "mlflow-auth.ini").read_text()


def test_only_what_keeps_tables_reaches_the_database(compose: dict[str, Any]) -> None:
    reaching = {name for name, service in compose["services"].items() if "databases" in service["networks"]}
    assert reaching == {"postgres", "prefect", "mlflow"}
    assert {name for name, s in compose["services"].items() if "PGPASSWORD" in s.get("environment", {})} == {
        "prefect",
        "mlflow",
    }


def test_telemetry_is_off(compose: dict[str, Any], infra: Path) -> None:
    image = (infra / "Dockerfile").read_text()
    for setting in ("DO_NOT_TRACK=1", "MLFLOW_DISABLE_TELEMETRY=true", "PREFECT_SERVER_ANALYTICS_ENABLED=false"):
        assert setting in image
    assert "-master.telemetry=false" in compose["services"]["s3"]["command"]


def test_containers_run_with_few_rights(compose: dict[str, Any], infra: Path) -> None:
    assert (infra / "Dockerfile").read_text().rstrip().splitlines()[-2] == "USER kintsugi"
    for name, service in compose["services"].items():
        assert "no-new-privileges:true" in service["security_opt"], name
        if name != "postgres":  # its own image starts as root and steps down
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name
    for pod in pods(infra):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"]
            assert not rights["allowPrivilegeEscalation"]
            assert rights["capabilities"] == {"drop": ["ALL"]}


def test_image_is_named_by_the_version_of_the_project(root: Path, compose: dict[str, Any], infra: Path) -> None:
    image = f"kintsugi:{version(root)}"
    named = [service["image"] for name, service in compose["services"].items() if name != "postgres"]
    named += [container["image"] for pod in pods(infra) for container in pod["containers"]]
    assert set(named) == {image}
    assert f"-t {image} " in (infra / "Dockerfile").read_text()


def test_image_is_installed_from_the_pinned_versions(infra: Path) -> None:
    installs = re.findall(r"pip install .*", (infra / "Dockerfile").read_text())
    assert installs
    assert all("-c infra/constraints.txt" in line for line in installs)


def test_constraints_pin_every_line_exactly(infra: Path) -> None:
    lines = [line for line in (infra / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( *;.*)?( *#.*)?", line)] == []


def test_every_dependency_is_pinned(root: Path, infra: Path) -> None:
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra if "kintsugi[" not in name),
    ]
    pinned = {_canonical(line) for line in (infra / "constraints.txt").read_text().splitlines() if "==" in line}
    assert sorted(name for name in map(_canonical, wanted) if name not in pinned) == []


def test_many_host_training_meets_at_the_first_pod(infra: Path) -> None:
    [job] = [item for item in kubernetes_objects(infra) if item["kind"] == "Job"]
    [service] = [item for item in kubernetes_objects(infra) if item["kind"] == "Service"]
    pod = job["spec"]["template"]
    [container] = pod["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    first = f"{job['metadata']['name']}-0.{service['metadata']['name']}"
    assert environment["KINTSUGI_RENDEZVOUS"].startswith(first)
    assert pod["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert job["spec"]["completions"] == job["spec"]["parallelism"]
    assert f"models.inpainter.execution.nodes={job['spec']['completions']}" in container["args"]


def _canonical(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", requirement)[0]).lower()
