"""Signing: a model's folder signed with a key of the environment, and checked against one, by `model-signing`.

The ledger's seals say which files a version has; a signature says besides who made them, also where somebody could
write to ledger and store alike. Keys are elliptic and lie in PEM files; nothing is asked of a network.
"""

import logging
import os
from pathlib import Path
from types import ModuleType
from typing import Any

SIGNATURE = "model.sig"
"""Name of the signature's file in a model's folder, a Sigstore bundle."""
PRIVATE_KEY = "KINTSUGI_SIGNING_KEY"
"""Variable that names the file of the private key; models are signed where it is set."""
PASSWORD = "KINTSUGI_SIGNING_PASSWORD"
"""Variable that holds the private key's password, if it has one."""
PUBLIC_KEY = "KINTSUGI_VERIFYING_KEY"
"""Variable that names the file of the public key; where it is set, no model is loaded without its signature."""

_ADVICE = "pip install 'kintsugi[signing]'"
_log = logging.getLogger(__name__)


def sign(folder: Path) -> None:
    """Sign all that a model's folder holds, if KINTSUGI_SIGNING_KEY names a key.

    Raises:
        ValueError: The key cannot be used, or model-signing is not installed.
    """
    key = _key(PRIVATE_KEY)
    if key is None:
        return
    signature = folder / SIGNATURE
    library = _library(PRIVATE_KEY)
    try:
        signer = library.signing.Config().use_elliptic_key_signer(private_key=key, password=os.environ.get(PASSWORD))
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"{PRIVATE_KEY}: {key} is no private key that can be used here ({error})") from error
    signer.set_hashing_config(_all_but(library, signature)).sign(folder, signature)


def objection(folder: Path) -> str | None:
    """Return why a model's folder must not be loaded by its signature, in words, or None.

    Where KINTSUGI_VERIFYING_KEY names no key nothing is checked, for a folder does not say by whose key it is signed.

    Raises:
        ValueError: The key cannot be used, or model-signing is not installed.
    """
    key, signature = _key(PUBLIC_KEY), folder / SIGNATURE
    if key is None:
        if signature.is_file():
            _log.info("%s is signed; set %s to the signer's public key to have that checked", folder, PUBLIC_KEY)
        return None
    if not signature.is_file():
        return f"it is not signed, and {PUBLIC_KEY} asks for a signature"
    library = _library(PUBLIC_KEY)
    try:
        verifier = library.verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"{PUBLIC_KEY}: {key} is no public key that can be used here ({error})") from error
    try:
        verifier.set_hashing_config(_all_but(library, signature)).verify(folder, signature)
    except (KeyError, TypeError, ValueError) as error:
        return f"its signature is not one of the key {key.name} on these files ({_in_brief(error)})"
    return None


def _key(variable: str) -> Path | None:
    """Return the file that a variable names.

    Raises:
        ValueError: There is no such file.
    """
    stated = os.environ.get(variable, "")
    if not stated:
        return None
    key = Path(stated)
    if not key.is_file():
        raise ValueError(f"{variable} is {stated}, expected the path of a key's PEM file")
    return key


def _library(variable: str) -> ModuleType:
    """Return the library, which takes a second to import.

    Raises:
        ValueError: It is not installed.
    """
    try:
        import model_signing
    except ImportError as error:
        raise ValueError(f"{variable} is set, but {error.name} is not installed: {_ADVICE}") from error
    return model_signing


def _all_but(library: ModuleType, signature: Path) -> Any:  # noqa: ANN401 - the library is not always there
    return library.hashing.Config().set_ignored_paths(paths=[signature], ignore_git_paths=False)


def _in_brief(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(": Expected ")[0]
