"""Two hosts that share a workspace train one model: host 0 writes, host 1 lends its processors."""

import socket

import pytest

pytestmark = [pytest.mark.distributed, pytest.mark.slow, pytest.mark.timeout(400)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def hosts(start, served, vae_only, tmp_path_factory):
    home = tmp_path_factory.mktemp("hosts") / "shared"
    changes = ["--set", "models.vae.execution.nodes=2", "--set", "models.vae.training.images=640"]
    rendezvous = {"KINTSUGI_RENDEZVOUS": f"127.0.0.1:{free_port()}"}
    processes = [
        start("train", vae_only, *changes, home=home, KINTSUGI_NODE_RANK=str(rank), **rendezvous, **served)
        for rank in (0, 1)
    ]
    return home, [(*process.communicate(timeout=300), process.returncode) for process in processes]


def test_two_hosts_end_with_one_checkpoint_that_both_name(hosts):
    home, said = hosts
    assert [code for *_, code in said] == [0, 0], said
    (checkpoint,) = (home / "store" / "checkpoint").glob("[0-9a-f]*")
    assert [out.strip() for out, *_ in said] == [f"vae: {checkpoint}"] * 2


def test_each_host_ran_one_rank_of_two(hosts):
    home, _ = hosts
    folders = [path for path in (home / "logs" / "train-vae").iterdir() if path.is_dir()]
    assert len(folders) == 2
    assert all(len(list(folder.glob("*/attempt_0/*/stdout.log"))) == 1 for folder in folders)
