"""A signed model is loaded where its files are the signer's, and refused in words where they are not."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components.tracking import registry, signing
from components.tracking.packaging import AlteredModelError

pytest.importorskip("model_signing")
pytestmark = pytest.mark.timeout(120)


def keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a pair of keys and return their files, the private one first."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    public.write_bytes(key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """Keys of which the environment names both."""
    private, public = keys(tmp_path, "team")
    monkeypatch.setenv(signing.PRIVATE_KEY, str(private))
    monkeypatch.setenv(signing.PUBLIC_KEY, str(public))
    return private, public


@pytest.fixture
def folder(tmp_path):
    """What a model's folder may hold."""
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}")
    (folder / "data" / "model.safetensors").write_bytes(b"weights" * 100)
    return folder


def test_a_version_is_signed_as_it_is_registered_and_checked_as_it_is_loaded(registered, pair, tmp_path):
    version = registered(3)
    delivery = registry.download("gan", version, tmp_path / "copy", loader_module="tiny_serving")
    assert (delivery.model / signing.SIGNATURE).is_file()
    again = registry.download("gan", version, tmp_path / "copy", loader_module="tiny_serving")
    assert again.model == delivery.model, "a whole copy is used again"


def test_a_version_of_another_signer_is_refused_in_words(registered, pair, tmp_path, monkeypatch):
    version = registered(3)
    monkeypatch.setenv(signing.PUBLIC_KEY, str(keys(tmp_path, "other")[1]))
    with pytest.raises(AlteredModelError, match=r"gan 1 .*its signature is not one of the key other\.pub"):
        registry.download("gan", version, tmp_path / "copy", loader_module="tiny_serving")
    assert not (tmp_path / "copy").exists()


def test_a_version_without_a_signature_is_refused_where_one_is_asked_for(registered, pair, tmp_path, monkeypatch):
    monkeypatch.delenv(signing.PRIVATE_KEY)
    version = registered(3)
    with pytest.raises(AlteredModelError, match="it is not signed, and KINTSUGI_VERIFYING_KEY asks for a signature"):
        registry.download("gan", version, tmp_path / "copy", loader_module="tiny_serving")
    monkeypatch.delenv(signing.PUBLIC_KEY)
    assert registry.download("gan", version, tmp_path / "copy", loader_module="tiny_serving").version == version


@pytest.mark.parametrize("change", ["altered", "added", "removed"])
def test_a_signature_holds_for_exactly_the_files_that_were_signed(folder, pair, change):
    signing.sign(folder)
    assert signing.objection(folder) is None
    weights = folder / "data" / "model.safetensors"
    if change == "altered":
        weights.write_bytes(b"other")
    elif change == "added":
        (folder / "data" / "code.json").write_text("{}")
    else:
        weights.unlink()
    found = signing.objection(folder)
    assert found is not None
    assert found.startswith("its signature is not one of the key team.pub on these files (")
    assert "\n" not in found


def test_a_signature_is_not_checked_where_no_key_is_named(folder, pair, monkeypatch):
    signing.sign(folder)
    (folder / "MLmodel").write_text("other")
    monkeypatch.delenv(signing.PUBLIC_KEY)
    assert signing.objection(folder) is None


@pytest.mark.parametrize("variable", [signing.PRIVATE_KEY, signing.PUBLIC_KEY])
@pytest.mark.parametrize("content", [None, "no key"])
def test_a_key_that_cannot_be_used_is_named(folder, pair, monkeypatch, tmp_path, variable, content):
    signing.sign(folder)
    bad = tmp_path / "bad.pem"
    if content is not None:
        bad.write_text(content)
    monkeypatch.setenv(variable, str(bad))
    with pytest.raises(ValueError, match=f"{variable}.*{bad}"):
        (signing.sign if variable == signing.PRIVATE_KEY else signing.objection)(folder)
