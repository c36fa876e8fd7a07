"""Pictures of every mode and format, with all that their files can say."""

import io

import numpy as np
from PIL import ExifTags, Image, ImageCms

HEIGHT, WIDTH = 40, 56
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def smooth(channels: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, channels), np.uint8)
    layers = [
        Image.fromarray(coarse[..., one]).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC) for one in range(channels)
    ]
    return np.dstack([np.asarray(layer) for layer in layers])


def of_mode(mode: str) -> Image.Image:
    """Return a smooth picture in one of Pillow's modes, transparent in part where it can be."""
    colours = Image.fromarray(smooth(3))
    grey16 = smooth(1)[..., 0].astype(np.uint16) * 257 + 100
    if mode == "I;16":
        return Image.fromarray(grey16)
    if mode == "I;16B":
        return Image.frombytes("I;16B", (WIDTH, HEIGHT), grey16.astype(">u2").tobytes())
    if mode in {"LA", "RGBA"}:
        alpha = smooth(1, 1)[..., 0].copy()
        alpha[:12], alpha[12:24] = 0, 255
        image = colours.convert(mode[:-1])
        image.putalpha(Image.fromarray(alpha))
        return image
    if mode == "LAB":
        return ImageCms.profileToProfile(
            colours, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    return colours.quantize(50) if mode == "P" else colours.convert(mode)


def exif(orientation: int = 1) -> Image.Exif:
    """Return what cameras write."""
    found = Image.Exif()
    found[ExifTags.Base.Make] = "TestCam"
    found[ExifTags.Base.Orientation] = orientation
    found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2026:01:02 03:04:05"
    found.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (48.0, 8.0, 15.5)
    return found
