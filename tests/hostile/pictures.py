"""Small real encodings of every format, mode and option that data sets take: what the hostile files are made from."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

SIDE = 16


def noise(seed: int, side: int = SIDE) -> Image.Image:
    """Return a picture of random pixels, so that no two seeds are duplicates."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def encoded(image: Image.Image, sort: str, **options: object) -> bytes:
    """Return the bytes of a picture's file, as Pillow writes it."""
    buffer = io.BytesIO()
    image.save(buffer, sort, **options)
    return buffer.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    """Return a PNG chunk with its length and its right checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_with(content: bytes, *chunks: bytes) -> bytes:
    """Return a PNG file with further chunks behind its header."""
    header_end = 8 + 25
    return content[:header_end] + b"".join(chunks) + content[header_end:]


def encodings() -> dict[str, bytes]:
    """Return whole files by name, the suffix being that of their format; each is accepted as a picture or, if its
    levels have no agreed white, refused."""
    photo, exif = noise(0), Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a maker"
    return dict(_jpeg(photo, exif)) | dict(_png(photo, exif)) | dict(_web(photo, exif)) | dict(_tiff(photo, exif))


def _jpeg(photo: Image.Image, exif: Image.Exif) -> Iterator[tuple[str, bytes]]:
    yield "plain.jpg", encoded(photo, "JPEG", quality=90)
    yield "progressive.jpg", encoded(photo, "JPEG", progressive=True, quality=70)
    yield "restarts.jpg", encoded(photo, "JPEG", restart_marker_blocks=1)
    yield "grey.jpg", encoded(photo.convert("L"), "JPEG", optimize=True)
    yield "cmyk.jpg", encoded(photo.convert("CMYK"), "JPEG")
    yield "subsampled.jpg", encoded(photo, "JPEG", subsampling=2, exif=exif, icc_profile=bytes(200), comment=b"words")
    yield "phone.jpg", encoded(photo, "MPO", save_all=True, append_images=[noise(1)])


def _png(photo: Image.Image, exif: Image.Exif) -> Iterator[tuple[str, bytes]]:
    alpha = photo.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(photo.size))
    for mode in ("1", "L", "LA", "P", "RGB"):
        yield f"{mode.lower()}.png", encoded(photo.convert(mode), "PNG")
    yield "rgba.png", encoded(alpha, "PNG", exif=exif, icc_profile=bytes(200), dpi=(72, 72))
    deep = np.random.default_rng(2).integers(0, 2**16, (SIDE, SIDE), np.uint16)
    yield "16-bit.png", encoded(Image.fromarray(deep), "PNG")
    yield "transparent.png", encoded(photo.convert("P"), "PNG", transparency=bytes(range(256)))
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"words " * 20)) + png_chunk(b"tEXt", b"Author\0someone")
    yield "text.png", png_with(encoded(photo, "PNG"), text)
    yield "animated.png", encoded(photo, "PNG", save_all=True, append_images=[noise(3), noise(4)])
    yield "interlaced.png", _interlaced(photo)


def _interlaced(photo: Image.Image) -> bytes:
    """Return a PNG by Adam7 (PNG specification, 8.2), which Pillow reads and does not write."""
    pixels, rows = np.asarray(photo), b""
    for top, left, down, across in (
        (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1),
    ):  # fmt: skip
        rows += b"".join(b"\0" + row.tobytes() for row in pixels[top::down, left::across])
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *photo.size, 8, 2, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


def _web(photo: Image.Image, exif: Image.Exif) -> Iterator[tuple[str, bytes]]:
    more = [noise(5), noise(6)]
    yield "plain.webp", encoded(photo, "WEBP", quality=80)
    yield "lossless.webp", encoded(photo, "WEBP", lossless=True)
    yield "alpha.webp", encoded(photo.convert("RGBA"), "WEBP", exif=exif, icc_profile=bytes(200), xmp=b"<x/>")
    yield "animated.webp", encoded(photo, "WEBP", save_all=True, append_images=more)
    yield "plain.gif", encoded(photo, "GIF")
    yield "straight.gif", encoded(photo, "GIF", interlace=0, comment=b"words")
    yield "transparent.gif", encoded(photo.convert("P"), "GIF", transparency=3)
    yield "animated.gif", encoded(photo, "GIF", save_all=True, append_images=more, loop=0, disposal=2)
    yield "rgb.bmp", encoded(photo, "BMP")
    yield "rgba.bmp", encoded(photo.convert("RGBA"), "BMP")
    yield "palette.bmp", encoded(photo.convert("P"), "BMP")
    yield "bits.bmp", encoded(photo.convert("1"), "BMP")
    yield "runs.bmp", _run_length_bmp()


def _run_length_bmp() -> bytes:
    """Return a BMP of 8 x 8 pixels packed as RLE8, which Pillow reads and does not write."""
    rows = b"".join(struct.pack("4B", 4, shade, 4, shade + 60) + b"\0\0" for shade in range(8)) + b"\0\1"
    palette = b"".join(bytes((shade, 255 - shade, shade // 2, 0)) for shade in range(256))
    start = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 1, len(rows), 2835, 2835, 256, 0)
    return struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start) + header + palette + rows


def _tiff(photo: Image.Image, exif: Image.Exif) -> Iterator[tuple[str, bytes]]:
    for packing in ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "zstd", "lzma"):
        yield f"{packing}.tif", encoded(photo, "TIFF", compression=packing)
    for packing in ("group3", "group4"):
        yield f"{packing}.tif", encoded(photo.convert("1"), "TIFF", compression=packing)
    yield "cmyk.tif", encoded(photo.convert("CMYK"), "TIFF")
    yield "lab.tif", encoded(photo.convert("LAB"), "TIFF", exif=exif)
    yield "palette.tif", encoded(photo.convert("P"), "TIFF")
    yield "16-bit.tif", encoded(Image.fromarray(np.asarray(photo)[..., 0].astype(np.uint16) * 257), "TIFF")
    yield "real.tif", encoded(Image.fromarray(np.asarray(photo)[..., 0].astype(np.float32)), "TIFF")
    yield "pages.tif", encoded(photo, "TIFF", save_all=True, append_images=[noise(7), noise(8)])
    yield "strips.tif", encoded(photo, "TIFF", compression="tiff_lzw", strip_size=SIDE * 3)
