"""Servers that commands start: until Ctrl-C, or until one of them ends by itself."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

_GRACE_S = 10.0


def serve(commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> None:
    """Run all the commands and return on Ctrl-C or SIGTERM, when all have ended.

    Raises:
        SystemExit: One ended by itself, as it does when its port is taken; with its exit code.
    """
    servers = [subprocess.Popen(command, env=environment) for command in commands]
    try:
        while True:
            for command, server in zip(commands, servers, strict=True):
                if (code := server.poll()) is not None:
                    sys.stderr.write(f"ended with exit code {code}: {' '.join(command)}\n")
                    raise SystemExit(code)
            time.sleep(0.5)
    except KeyboardInterrupt:
        return
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            try:
                server.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                server.kill()
