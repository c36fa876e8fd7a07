"""The deployment files say what their tools understand, open nothing to the world, and hold no password."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.team.services import SERVICES, Program
from infra.team.settings import Settings, generate

SECRET = re.compile(r"_(PASSWORD|SECRET|SECRET_KEY|AUTH)$")
YAML_FILES = ("prefect.yaml", "compose.yaml")


@pytest.fixture
def infra(root: Path) -> Path:
    return root / "infra"


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, Program]:
    """What each of the team's services runs, with settings of its own."""
    generate(tmp_path / "env")
    settings = Settings.read(tmp_path / "env")
    return {name: service.program(settings) for name, service in SERVICES.items() if name != "postgres"}


@pytest.fixture
def compose(infra: Path) -> dict[str, Any]:
    return yaml.safe_load((infra / "compose.yaml").read_text())


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


@pytest.mark.parametrize(
    ("codes", "ends", "requeued"),
    [
        ((0, 0), 0, False),
        ((3, 3), 3, True),
        ((3, 1), 3, True),  # one host stopped in time, the other lost it and failed: the checkpoint is there
        ((2, 2), 2, False),
        ((1, 0), 1, False),
    ],
)
def test_slurm_queues_again_what_can_be_resumed_and_nothing_else(
    infra: Path, tmp_path: Path, codes: tuple[int, int], ends: int, requeued: bool
) -> None:
    """With stand-ins for Slurm's commands: srun runs each host's task and answers with their highest code."""
    commands = {
        "scontrol": 'case $1 in show) printf "node7\\nnode8\\n";; *) echo "$@" >> asked;; esac',
        "srun": """while [[ $1 == --* ]]; do echo "$1" >> asked.srun; shift; done
            highest=0
            for host in 0 1; do
                code=0; SLURM_NODEID=$host "$@" || code=$?
                (( code > highest )) && highest=$code
            done
            exit $highest""",
        ".venv/bin/kintsugi": f"""echo "$KINTSUGI_NODE_RANK $KINTSUGI_RENDEZVOUS $*" >> started
            codes=({codes[0]} {codes[1]}); exit ${{codes[$KINTSUGI_NODE_RANK]}}""",
    }
    for name, text in commands.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "12",
        "SLURM_JOB_NODELIST": "node[7-8]",
    }
    job = ["bash", infra / "slurm" / "train.sbatch", "configs/team.yaml", "--set", "a b=c"]
    assert subprocess.run(job, env=environment, cwd=tmp_path, check=False).returncode == ends
    started = (tmp_path / "started").read_text().splitlines()
    assert started == [f"{rank} node7:20012 train configs/team.yaml --set a b=c" for rank in (0, 1)]
    assert (tmp_path / "asked").exists() == requeued
    assert not requeued or (tmp_path / "asked").read_text() == "requeue 12\n"
    assert "--kill-on-bad-exit=0" in (tmp_path / "asked.srun").read_text()


def test_prefect_understands_its_deployments(root: Path, infra: Path) -> None:
    from prefect.cli.deploy._models import PrefectYamlModel, RawScheduleConfig

    content = yaml.safe_load((infra / "prefect.yaml").read_text())
    project = PrefectYamlModel.model_validate(content)
    assert {deployment.name for deployment in project.deployments} == {
        "retrain-nightly",
        "rescore-champion-weekly",
        "watch",
        "drift-nightly",
        "collect",
        "quickstart",
    }
    for deployment in project.deployments:
        assert deployment.work_pool
        assert deployment.work_pool.name in {"kintsugi", "kintsugi-light"}
        assert deployment.concurrency_limit is None  # a lease that is not renewed in time ends the training
        assert "kintsugi" in deployment.tags  # what automations and workers watch
        assert all(isinstance(schedule, RawScheduleConfig) for schedule in deployment.schedules or ())
        assert (root / deployment.parameters["config"]).is_file(), deployment.parameters["config"]


def test_deployed_flow_exists_and_takes_its_parameters(root: Path, infra: Path) -> None:
    import ast

    for deployment in yaml.safe_load((infra / "prefect.yaml").read_text())["deployments"]:
        path, name = deployment["entrypoint"].split(":")
        functions = [node for node in ast.parse((root / path).read_text()).body if isinstance(node, ast.FunctionDef)]
        [flow] = [function for function in functions if function.name == name]
        assert set(deployment["parameters"]) <= {argument.arg for argument in flow.args.args + flow.args.kwonlyargs}


def test_compose_file_is_what_compose_understands(infra: Path) -> None:
    command = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*command, infra / "compose.yaml"], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_compose_has_the_services_of_the_servers_without_containers(compose: dict[str, Any]) -> None:
    assert compose["services"].keys() == {*SERVICES, "prepare", "worker-gpu"}
    for name, service in compose["services"].items():
        if name not in {"postgres", "prepare"}:
            assert service["command"] == ["python", "-m", "infra.team", "start", name.removesuffix("-gpu")]
            assert service.get("stop_grace_period", "10s") in {
                "10s",
                f"{SERVICES[name.removesuffix('-gpu')].stop_wait_s}s",
            }


def test_each_container_gets_the_passwords_that_its_program_needs_and_no_others(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SERVICES.keys() - {"postgres"}:
        settings, asked = settings_of_container(compose["services"][name], monkeypatch)
        SERVICES[name].program(settings)
        given = {variable for variable in compose["services"][name]["environment"] if SECRET.search(variable)}
        assert {variable for variable in asked if SECRET.search(variable)} == given, name


def settings_of_container(service: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Settings, set[str]]:
    """Return what a container's program reads as its settings, and a set that fills with what it asked for."""
    asked: set[str] = set()

    class Recorded(dict[str, str]):
        def __getitem__(self, name: str) -> str:
            asked.add(name)
            return super().__getitem__(name)

    with monkeypatch.context() as patch:
        for variable, value in service["environment"].items():
            patch.setenv(
                variable, "secret-of-a-test" if SECRET.search(variable) else re.sub(r"\$\{.*?:-(.*?)\}+", r"\1", value)
            )
        settings = Settings.from_environment()
    return replace(settings, values=Recorded(settings.values)), asked


def test_compose_uses_the_settings_of_the_example_and_no_others(infra: Path) -> None:
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", (infra / "compose.yaml").read_text()))
    pairs = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", (infra / "env.example").read_text(), re.MULTILINE))
    assert used <= pairs.keys()
    for name, default in re.findall(r"\$\{([A-Z0-9_]+):-([^}$]*)\}", (infra / "compose.yaml").read_text()):
        assert default == pairs[name], name


def test_compose_opens_ports_on_loopback_only(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published)
    assert all(service.get("network_mode") != "host" for service in compose["services"].values())


def test_compose_has_no_password_of_its_own(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable):
                assert re.fullmatch(r"\$\{[A-Z0-9_]+:\?set [A-Z0-9_]+ in infra/\.env\}", value), f"{name}: {variable}"
        assert "@" not in str(service.get("command", ""))


def test_example_environment_names_all_that_compose_asks_for_and_fills_no_secret(infra: Path) -> None:
    needed = set(re.findall(r"\$\{([A-Z0-9_]+):\?", (infra / "compose.yaml").read_text()))
    pairs = re.findall(r"^([A-Z0-9_]+)=(.*)$", (infra / "env.example").read_text(), re.MULTILINE)
    assert needed <= {name for name, _ in pairs}
    assert {name: value for name, value in pairs if name in needed and value} == {}


def test_environment_with_secrets_is_never_committed_or_built_into_the_image(root: Path, infra: Path) -> None:
    assert ".env" in (root / ".gitignore").read_text().split()
    assert {"**/.env", ".git", "workspace"} <= set((infra / "Dockerfile.dockerignore").read_text().splitlines())


def test_servers_ask_who_is_there(programs: dict[str, Program], infra: Path) -> None:
    assert "PREFECT_SERVER_API_AUTH_STRING" in programs["prefect"].environment
    assert "KINTSUGI_SERVE_AUTH" in programs["serve"].environment
    assert "--app-name=basic-auth" in programs["mlflow"].command
    assert any(word.startswith("--allowed-hosts=") for word in programs["mlflow"].command)
    assert not any("*" in word for word in programs["mlflow"].command)
    assert any(word.startswith("-s3.config=") for word in programs["s3"].command)
    assert "default_permission = NO_PERMISSIONS" in (infra / "mlflow-auth.ini").read_text()


def test_only_what_keeps_tables_reaches_the_database(compose: dict[str, Any]) -> None:
    reaching = {name for name, service in compose["services"].items() if "databases" in service["networks"]}
    assert reaching == {"postgres", "prefect", "mlflow"}
    with_password = re.compile(r"POSTGRES_[A-Z_]*PASSWORD")
    assert {name for name, s in compose["services"].items() if with_password.search(str(s["environment"]))} == reaching


def test_telemetry_is_off(programs: dict[str, Program], infra: Path) -> None:
    image = (infra / "Dockerfile").read_text()
    for setting in ("DO_NOT_TRACK=1", "MLFLOW_DISABLE_TELEMETRY=true", "PREFECT_SERVER_ANALYTICS_ENABLED=false"):
        assert setting in image
    assert "-master.telemetry=false" in programs["s3"].command


def test_containers_run_with_few_rights(compose: dict[str, Any], infra: Path) -> None:
    assert (infra / "Dockerfile").read_text().rstrip().splitlines()[-2] == "USER kintsugi"
    for name, service in compose["services"].items():
        assert "no-new-privileges:true" in service["security_opt"], name
        if name != "postgres":  # its own image starts as root and steps down
            assert service["read_only"], name
            assert service["cap_drop"] == ["ALL"], name


def test_image_is_named_by_the_version_of_the_project(root: Path, compose: dict[str, Any], infra: Path) -> None:
    image = f"kintsugi:{version(root)}"
    named = [service["image"] for name, service in compose["services"].items() if name != "postgres"]
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


def _canonical(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", requirement)[0]).lower()
