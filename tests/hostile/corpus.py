"""The corpus: files made to do harm, what must become of each, and the folder, zip and tar that hold them all."""

import io
import os
import socket
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from tests.hostile.pictures import encoded, encodings, noise, png_chunk, png_with

TAKEN = "a picture"
"""What is accepted, or left out as a duplicate."""
EITHER = "either"
"""What lacks only an end that decoders can do without: the account must hold, whatever they say."""
LARGEST = 2**28


def files() -> dict[str, tuple[bytes, str]]:
    """Return content and outcome by name, of files that a folder and every archive can hold."""
    plain = {name: (content, TAKEN) for name, content in encodings().items()}
    plain["real.tif"] = (plain["real.tif"][0], "unsupported_pixels")
    pictures = {f"good/{seed}.png": (encoded(noise(seed), "PNG"), TAKEN) for seed in range(100, 112)}
    return plain | pictures | dict(_cut_short()) | dict(_no_pictures()) | dict(_bombs()) | dict(_odd_names())


def _cut_short() -> Iterator[tuple[str, tuple[bytes, str]]]:
    """Yield every encoding cut at each quarter, in its header, and before its last bytes; and with one bit flipped."""
    for name, content in encodings().items():
        whole = len(content)
        for place in (1, 3, 9, 17, whole // 4, whole // 2, 3 * whole // 4, whole - 12, whole - 2, whole - 1):
            yield f"cut/{place}-{name}", (content[:place], EITHER)
        flipped = bytearray(content)
        flipped[whole // 2] ^= 0x10
        yield f"flipped/{name}", (bytes(flipped), EITHER)
    for sort in ("JPEG", "PNG", "BMP", "WEBP"):
        content = encoded(noise(200, 64), sort)
        yield f"half.{sort.lower()}", (content[: len(content) // 2], "damaged" if sort == "WEBP" else "truncated")


def _no_pictures() -> Iterator[tuple[str, tuple[bytes, str]]]:
    yield "empty.jpg", (b"", "empty")
    yield "zeros.png", (bytes(5000), "not_an_image")
    yield "text.jpg", (b"words" * 100, "not_an_image")
    yield "page.png", (b"<html><body>404</body></html>", "not_an_image")
    yield "script.eps", (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_an_image")
    yield "vector.svg", (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image")
    yield "other.ppm", (encoded(noise(201), "PPM"), "not_an_image")
    yield "jpeg-inside.png", (encoded(noise(202), "JPEG"), TAKEN)
    yield "no-suffix", (encoded(noise(203), "PNG"), TAKEN)
    with io.BytesIO() as kept:
        with zipfile.ZipFile(kept, "w") as archive:
            archive.writestr("deep.png", encoded(noise(204), "PNG"))
        yield "nested.zip", (kept.getvalue(), "not_an_image")
    palette = encoded(noise(205).quantize(16), "PNG")
    start = palette.index(b"PLTE") - 4
    yield "no-palette.png", (palette[:start] + palette[start + 12 + 48 :], "damaged")


def _bombs() -> Iterator[tuple[str, tuple[bytes, str]]]:
    def png(width: int, height: int, rows: bytes) -> bytes:
        header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")

    much, small = zlib.compress(bytes(LARGEST), 1), encoded(noise(206), "PNG")
    yield "bomb/sides.png", (png(60_000, 60_000, b""), "too_large")
    yield "bomb/pixels.png", (png(9_000, 9_000, b""), "too_large")
    yield "bomb/strip.png", (encoded(Image.new("1", (8, 70_000)), "PNG"), "too_large")
    yield "bomb/text.png", (png_with(small, png_chunk(b"zTXt", b"C\0\0" + much)), "damaged")
    yield "bomb/profile.png", (png_with(small, png_chunk(b"iCCP", b"C\0\0" + much)), "damaged")
    yield "bomb/rows.png", (png(16, 16, much), TAKEN)
    wide = bytearray(encoded(noise(207), "BMP"))
    struct.pack_into("<ii", wide, 18, 60_000, 60_000)
    yield "bomb/sides.bmp", (bytes(wide), "too_large")
    frame = b"\x21\xf9\x04\0\0\0\0\0\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\x02\x44\x01\0"
    yield "bomb/frames.gif", (encoded(noise(208), "GIF")[:-1] + frame * 100_000 + b";", TAKEN)
    tiff = bytearray(encoded(noise(209), "TIFF"))
    first = struct.unpack_from("<I", tiff, 4)[0]
    following = first + 2 + 12 * struct.unpack_from("<H", tiff, first)[0]
    struct.pack_into("<I", tiff, following, first)
    yield "bomb/loop.tif", (bytes(tiff), TAKEN)
    struct.pack_into("<I", tiff, following, len(tiff))
    chain = b"".join(struct.pack("<HI", 0, len(tiff) + 6 * (number + 1)) for number in range(100_000))
    yield "bomb/chain.tif", (bytes(tiff) + chain, TAKEN)


def _odd_names() -> Iterator[tuple[str, tuple[bytes, str]]]:
    for seed, name in enumerate(("a\nb.png", "q?*[x].png", " .png", "ü" * 100 + ".png", "n" * 251 + ".png", "-rf.png")):
        yield f"names/{name}", (encoded(noise(300 + seed), "PNG"), TAKEN)


def folder(root: Path) -> dict[str, str]:
    """Write them all and what only a folder can hold below `root`; return the outcomes by name."""
    (root.parent / "secret.png").write_bytes(encoded(noise(400), "PNG"))
    outcomes = {}
    for name, (content, outcome) in files().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
        outcomes[name] = outcome
    (root / os.fsdecode(b"caf\xe9.png")).write_bytes(encoded(noise(401), "PNG"))
    (root / "out.png").symlink_to("../secret.png")
    (root / "loop.png").symlink_to("loop.png")
    (root / "up").symlink_to(".")
    (root / "in.png").symlink_to("good/100.png")
    os.mkfifo(root / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket.png"))
    with (root / "huge.png").open("wb") as file:
        file.truncate(2**40)
    outcomes |= {"caf\\xe9.png": TAKEN, "in.png": TAKEN, "out.png": "link_outside", "loop.png": "unreadable"}
    outcomes |= {"up": "not_regular", "pipe.png": "not_regular", "socket.png": "unreadable", "huge.png": "too_large"}
    if os.geteuid() == 0:
        os.mknod(root / "device.png", stat.S_IFCHR | 0o600, os.makedev(1, 5))
        outcomes["device.png"] = "not_regular"
    else:
        (root / "private.png").write_bytes(encoded(noise(402), "PNG"))
        (root / "private.png").chmod(0)
        outcomes["private.png"] = "unreadable"
    return outcomes


def zip_archive(path: Path) -> list[tuple[str, str]]:
    """Write them all and what only a zip can hold; return names and outcomes, of which a name may have two."""
    found = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (content, outcome) in files().items():
            archive.writestr(name, content)
            found.append((name, outcome))
        for seed, name in enumerate(("../../up.png", "/root.png", "C:\\drive.png", "good/100.png"), 500):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a name that is there
                archive.writestr(name, encoded(noise(seed), "PNG"))
            found.append((name, TAKEN))
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, b"/etc/passwd")
        archive.writestr("packed.png", encoded(noise(510), "PNG"), zipfile.ZIP_LZMA)
        with archive.open("zeros/many.png", "w", force_zip64=True) as member:
            for _ in range(LARGEST * 3 // 2**20):
                member.write(bytes(2**20))
    return [*found, ("link.png", "not_an_image"), ("packed.png", "unreadable"), ("zeros/many.png", "too_large")]


def tar_archive(path: Path) -> list[tuple[str, str]]:
    """Write them all and what only a tar can hold; return names and outcomes, of which a name may have two."""
    found = []
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:

        def add(name: str, outcome: str, content: bytes = b"", sort: bytes = tarfile.REGTYPE, **more: str) -> None:
            entry = tarfile.TarInfo(name)
            entry.size, entry.type, entry.linkname = len(content), sort, more.pop("to", "")
            entry.pax_headers = more
            archive.addfile(entry, io.BytesIO(content))
            found.append((name, outcome))

        for name, (content, outcome) in files().items():
            add(name, outcome, content)
        for seed, name in enumerate(("../../up.png", "/root.png", "good/100.png"), 500):
            add(name, TAKEN, encoded(noise(seed), "PNG"))
        add("noted.png", TAKEN, encoded(noise(511), "PNG"), comment="x" * 100_000, mtime="1e400")
        for sort, name in ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "hard"), (tarfile.FIFOTYPE, "pipe")):
            add(f"{name}.png", "not_regular", b"", sort, to="/etc/passwd")
        add("device.png", "not_regular", b"", tarfile.CHRTYPE)
        add("holes.png", "not_regular", b"", tarfile.GNUTYPE_SPARSE)
        said = {"GNU.sparse.size": str(2**40), "GNU.sparse.numblocks": "1"}
        add("holes-0.0.png", "not_regular", **said, **{"GNU.sparse.offset": "0", "GNU.sparse.numbytes": "x"})
        add("holes-0.1.png", "not_regular", **said, **{"GNU.sparse.map": f"0,1,{2**40},words"})
        said = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(2**40)}
        add("holes-1.0.png", "not_regular", b"9999999\n0\n".ljust(512, b"\0"), **said)
        add("after-holes.png", TAKEN, encoded(noise(512), "PNG"))
    return found
