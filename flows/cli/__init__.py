"""The command line: `kintsugi COMMAND`. Exit codes: 0 done, 2 bad input, 3 resumable stop, 1 anything else."""

import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType, TracebackType

from cyclopts import App, CycloptsError

from components.launch.outcome import Stopped
from components.logs import lines
from components.servers.redaction import redact_text
from flows.cli.commands import add_commands
from flows.cli.obstacles import full_disk, in_the_way

_log = logging.getLogger(__name__)

_ASKS_WHAT_THERE_IS: tuple[list[str], ...] = ([], ["--help"], ["-h"])


def command_line(words: Sequence[str] = ()) -> App:
    """Return the application for `words`, and for any others; it lists all commands only where these ask for that."""
    app = App(
        name="kintsugi",
        help="Train models that make images and models that mend them, and put the better one in service.",
        version=_version,
        version_flags=["--version"],
        help_format="plaintext",  # markdown would cost a third of the start, and nothing here uses it
        suppress_keyboard_interrupt=False,  # a stop on request has its own exit code, below
    )
    add_commands(app, listed=list(words) in _ASKS_WHAT_THERE_IS)
    return app


def main() -> None:
    """Run the command named on the command line and end with its exit code."""
    _hear_signals()
    sys.excepthook = _show_redacted
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # what went wrong is said once, below
    os.environ["PREFECT_LOGGING_EXTRA_LOGGERS"] = ""  # or that level would silence our own warnings, too
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd files, on top of what is said of them
    try:
        lines.begin(logging.WARNING)
        command_line(sys.argv[1:])(exit_on_error=False)
    except CycloptsError:
        sys.exit(2)
    except Stopped as error:
        _say(f"stopped: {error}")
        sys.exit(3)
    except ValueError as error:
        _say(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        _say("stopped: interrupted; the same command continues")
        sys.exit(3)
    except (RuntimeError, OSError) as error:
        if words := full_disk(error):
            _say(f"stopped: {words}")
            sys.exit(3)
        if words := in_the_way(error):
            _say(f"error: {words}")
            sys.exit(2)
        if not type(error).__module__.startswith("components."):
            raise  # nobody foresaw it: the call stack helps, the message may not
        _say(f"error: {error}")
        sys.exit(1)


def _version() -> str:
    import importlib.metadata  # here: few ask

    return importlib.metadata.version("kintsugi")


def _hear_signals() -> None:
    """Let SIGTERM and a closed terminal end a command as Ctrl-C does; `nohup` lets the terminal be ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - what a signal handler is given
    """Let a signal end a command as Ctrl-C does, so that what it started is stopped in a resumable state."""
    raise KeyboardInterrupt


def _show_redacted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show a call stack as Python does, but for secrets."""
    sys.stderr.write(redact_text("".join(traceback.format_exception(kind, error, trace))))


def _say(text: str) -> None:
    with suppress(ValueError):  # of which just this may speak
        if lines.is_json():
            _log.error("%s", text)
            return
    with suppress(OSError):  # the terminal may be gone
        sys.stderr.write(redact_text(text) + "\n")
