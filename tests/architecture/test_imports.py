"""Who imports whom: the contracts of .importlinter hold, and cover what is there."""

import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from importlinter.cli import lint_imports


def test_import_contracts_hold(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "path", [str(root), *sys.path])
    code = lint_imports(config_filename=str(root / ".importlinter"), no_cache=True, no_logo=True)
    assert code == 0, capsys.readouterr().out


def test_worker_is_the_top_of_the_layers_and_sections_their_ground(root: Path) -> None:
    config = ConfigParser()
    config.read(root / ".importlinter")
    layers = config["importlinter:contract:layers"]["layers"].split("\n")
    assert "worker" in layers[1]
    assert layers[-1].strip() == "section"
    assert config["importlinter:contract:layers"].getboolean("exhaustive")
