"""Versions: whether a server's fits the client that is installed here."""

from packaging.version import InvalidVersion, Version

from flows.cli.doctor.finding import Finding
from flows.cli.doctor.machine import installed
from flows.cli.doctor.server import RefusedError, Server


def finding(server: Server, path: str, what: str, package: str) -> Finding:
    """Return how a server's version and that of its client here go together.

    Args:
        server: The server.
        path: Where it says its version.
        what: Its name.
        package: The client's name in package indexes.
    """
    try:
        stated = server.read(path).strip().strip('"')
    except (RefusedError, OSError, ValueError):
        return Finding(what=f"Version of {what}", state="note", found="the server does not say which it is")
    return compared(what, package, installed(package), stated)


def compared(what: str, package: str, here: str, there: str) -> Finding:
    """Return what is to be said of a client's version `here` and a server's `there`.

    A server takes requests of clients of its own minor version, and mostly of older ones; a newer client asks for what
    the server may not have.
    """
    called = f"Version of {what}"
    try:
        ours, theirs = Version(here), Version(there)
    except InvalidVersion:
        return Finding(what=called, state="note", found=f"{here} here; the server says {there[:40]!r}")
    if ours.release[:2] == theirs.release[:2]:
        return Finding(what=called, state="ok", found=f"{ours} here, {theirs} on the server")
    found = f"{ours} here, {theirs} on the server"
    if ours > theirs:
        advice = f"bring the server to {ours}, or here: pip install '{package}=={theirs}'"
        return Finding(what=called, state="problem", found=found, advice=advice)
    return Finding(what=called, state="note", found=found, advice=f"here: pip install '{package}=={theirs}'")
