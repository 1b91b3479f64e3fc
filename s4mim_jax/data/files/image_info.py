"""What one file is, as far as the input pipeline and the checks need to know."""

from dataclasses import dataclass

from s4mim_jax.data.files import tiff
from s4mim_jax.data.files.images import PNG_END, decode_image, is_plain_png, open_image, orientation
from s4mim_jax.data.files.pixel_format import PLAIN, PixelFormat

JPEG_END = b'\xff\xd9'


@dataclass(frozen=True)
class ImageInfo:
    """Size in pixels after the EXIF orientation, who can decode the file, and that orientation (1 = upright).

    kind 'jpeg': tf.io.decode_jpeg gives the upright image; 'png8': tf.io.decode_png(channels=form.channels)
    gives what `decode_image` gives; 'tiff': so does `tiff.read`, a window at a time; 'other': only
    `decode_image` is right.
    """

    height: int
    width: int
    kind: str
    turned: int = 1


def image_info(data: bytes, name: str, form: PixelFormat = PLAIN) -> ImageInfo:
    """Reads the header; the pixels are decoded only where the end of the file looks wrong.

    Raises:
      InputError: no image, truncated or damaged, or not of the form.
    """
    if not form.plain:
        return _band_info(data, name, form)
    image = open_image(data, name)
    turned = orientation(image)
    width, height = image.size if turned < 5 else image.size[::-1]
    whole = data.endswith(JPEG_END if image.format == 'JPEG' else PNG_END)
    kind = 'other'
    if whole and turned == 1:
        if image.format == 'JPEG' and image.mode in ('RGB', 'L'):
            kind = 'jpeg'
        elif is_plain_png(image, data):
            kind = 'png8'
    if not whole:  # truncated, or something behind the end, or a format without an end mark
        # Pillow turns some formats (TIFF) when it decodes: what counts is the decoded size.
        height, width = decode_image(data, name).shape[:2]
        if image.format == 'TIFF' and tiff.layout(data, name).plain_rgb:
            kind = 'tiff'
    return ImageInfo(height, width, kind, turned)


def _band_info(data, name, form) -> ImageInfo:
    """An image whose form is not the default: everything is decoded once."""
    height, width = decode_image(data, name, form).shape[:2]
    if tiff.is_tiff(data):
        found = tiff.layout(data, name)
        return ImageInfo(height, width, 'tiff' if found.windows else 'other')
    image, kind = open_image(data, name), 'other'
    if form.value_range is None and orientation(image) == 1:
        if image.format == 'JPEG' and image.mode == 'L' and form.channels == 1 and data.endswith(JPEG_END):
            kind = 'jpeg'
        # TensorFlow does not know two channels either.
        elif is_plain_png(image, data) and data.endswith(PNG_END) and len(image.getbands()) == form.channels != 2:
            kind = 'png8'
    return ImageInfo(height, width, kind)


