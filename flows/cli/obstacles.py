"""Obstacles: errors of the machine that a person can clear away, such as a full disk, in one line."""

import errno
import os
from collections.abc import Iterator

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_IN_THE_WAY = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP,
    errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ETXTBSY, errno.EBUSY,
}  # fmt: skip
_HOME = "KINTSUGI_HOME"
_CONTINUE = "make room and run the same command again"


def full_disk(error: BaseException) -> str | None:
    """Return what to do about the full disk or the spent quota that an error tells of; None if it tells of none."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return f"the disk is full, at {_place(cause) or _HOME} ({os.strerror(cause.errno)}); {_CONTINUE}"
        if "database or disk is full" in str(cause):  # SQLite's own words, in whatever wrapping
            return f"the disk is full, at {_HOME}; {_CONTINUE}"
    return None


def in_the_way(error: BaseException) -> str | None:
    """Return which place cannot be used, and why; None for an error that nobody foresaw."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in _IN_THE_WAY:
            return f"{_place(cause) or _HOME}: {os.strerror(cause.errno)}"
        if "attempt to write a readonly database" in str(cause):
            return f"{_HOME}: its database can only be read; see who owns it, and how its disk is mounted"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _place(error: OSError) -> str | None:
    return next((str(name) for name in (error.filename2, error.filename) if name and not isinstance(name, int)), None)
