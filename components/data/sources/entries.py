"""Entries: the members of a tar from outside, one by one; one that misleads its reader ends the reading in words."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

_HEADER_BYTES = 2**20
"""No name, link or list of facts of a member is longer."""
_GOES_ON = 504
"""Place, in a block of a sparse member's list, of whether another such block follows."""
_HEADERS = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}


class _Entry(tarfile.TarInfo):
    """A member whose size is looked at before anything is read by it, and of whose holes no list is made.

    `tarfile` leaves these methods to subclasses. Its own read a header whole however long it says it is, and all of the
    file for one below 0; and as many numbers about a sparse member as there are, which is then refused in any case.
    """

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size < 0 or (self.type in _HEADERS and self.size > _HEADER_BYTES):
            raise tarfile.ReadError(f"at byte {self.offset}, a header that says it has {self.size} bytes")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found

    def _proc_sparse(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        file, goes_on = archive.fileobj, self._sparse_structs[1]  # type: ignore[attr-defined]
        while goes_on:
            if len(block := file.read(tarfile.BLOCKSIZE)) < tarfile.BLOCKSIZE:
                raise tarfile.ReadError(f"at byte {self.offset}, a sparse member that is cut short")
            goes_on = block[_GOES_ON]
        self.sparse = b""
        self.offset_data = file.tell()
        archive.offset = self.offset_data + -(-self.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        return self

    def _proc_gnusparse_00(self, member: tarfile.TarInfo, *_: object) -> None:
        member.sparse = b""

    _proc_gnusparse_01 = _proc_gnusparse_10 = _proc_gnusparse_00


@contextmanager
def opened(file: io.BufferedIOBase) -> Iterator[tarfile.TarFile]:
    """Yield the tar in a file, which must not be packed.

    Raises:
        tarfile.TarError: It is none.
    """
    with tarfile.open(fileobj=file, mode="r:", tarinfo=_Entry) as archive:
        yield archive


def entries(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members to the end.

    Raises:
        tarfile.TarError: One leads back (CVE-2025-8194) or to a header that is damaged or cut short, where tarfile by
            itself goes round for ever, or takes what is left for nothing.
    """
    last = -1
    while (entry := _next(archive)) is not None:
        if entry.size < 0 or entry.offset_data <= last:
            raise tarfile.ReadError(f"at byte {entry.offset}, a member that leads back")
        last = entry.offset_data
        yield entry
        archive.members = []  # type: ignore[attr-defined]  # it keeps all it has seen, which may be millions
    file, place = archive.fileobj, archive.offset
    assert file is not None
    file.seek(place)
    if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError(f"at byte {place}, neither a member nor the end")


def _next(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return archive.next()
    except ValueError as error:  # of a number that is none
        raise tarfile.ReadError(str(error)) from error
