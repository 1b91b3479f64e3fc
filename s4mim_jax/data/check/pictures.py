"""A sheet of samples: image | mask in the palette's colours | both, with the classes that each one shows."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.samples import read_image, read_label
from s4mim_jax.data.source import Sample, Source
from s4mim_jax.views.normalize import as_rgb

CELL = (240, 320)  # largest height and width of a picture
MARGIN, LINE, FONT = 8, 18, 13  # pixels
STRIPES = np.array([(200, 200, 200), (150, 150, 150)], np.uint8)  # void; no class looks like this
WRONG = (255, 0, 255)  # values outside the classes


def samples(source: Source, groups: dict[str, tuple[Sample, ...]], same: dict[str, str],
            count: int) -> Image.Image | None:
    """Rows of samples from every group, evenly spaced; files that cannot be read are left out.

    Args:
      source: the dataset. groups: samples by name. same: groups that repeat another one, left out.
      count: rows of a group; labelled ones stand for those of 'train'.

    Returns:
      an RGB picture, or None if there is nothing to show.
    """
    rows = []
    for name, group in groups.items():
        if name in same or (name == 'train' and 'labeled' in groups and 'labeled' not in same):
            continue
        chosen = [group[i * len(group) // count] for i in range(min(count, len(group)))]
        rows += [row for sample in dict.fromkeys(chosen) if (row := _row(source, name, sample))]
    if not rows:
        return None
    width = max(row.width for row in rows)
    sheet = Image.new('RGB', (width + 2 * MARGIN, sum(row.height + MARGIN for row in rows) + MARGIN), 'white')
    top = MARGIN
    for row in rows:
        sheet.paste(row, (MARGIN, top))
        top += row.height + MARGIN
    return sheet


def _row(source: Source, group: str, sample: Sample) -> Image.Image | None:
    """Caption, pictures, legend."""
    try:
        image = as_rgb(read_image(source, sample))
        label = read_label(source, sample) if sample.mask else None
    except InputError:
        return None
    height, width = image.shape[:2]
    scale = min(CELL[0] / height, CELL[1] / width)
    size = max(int(width * scale), 1), max(int(height * scale), 1)
    small = np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    cells, legend = [small], []
    if label is not None:
        colors = colored(np.array(Image.fromarray(label).resize(size, Image.Resampling.NEAREST)), source.palette)
        cells += [colors, ((small.astype(np.uint16) + colors) // 2).astype(np.uint8)]
        ids, pixels = np.unique(label, return_counts=True)
        legend = [(int(c), 100 * n / label.size) for n, c in sorted(zip(pixels.tolist(), ids.tolist()), reverse=True)]
    font = ImageFont.load_default(FONT)
    total = 3 * CELL[1] + 2 * MARGIN
    names = [(_swatch(c, source), f'{_name(c, source)} {share:.1f} %') for c, share in legend]
    lines = _wrap(names, font, total)
    row = Image.new('RGB', (total, LINE + size[1] + 4 + LINE * len(lines)), 'white')
    draw = ImageDraw.Draw(row)
    draw.text((0, 0), f'{group}   {sample.id}   {height} x {width}' + ('' if sample.mask else '   no mask'),
              fill='black', font=font)
    for i, cell in enumerate(cells):
        row.paste(Image.fromarray(cell), (i * (CELL[1] + MARGIN), LINE))
    for n, line in enumerate(lines):
        y = LINE + size[1] + 4 + n * LINE
        for x, color, text in line:
            draw.rectangle((x, y + 2, x + 12, y + 14), fill=color, outline='black')
            draw.text((x + 17, y), text, fill='black', font=font)
    return row


def colored(label: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Labels in colours: void striped, ids outside the palette magenta.

    Args:
      label: uint8 [H, W]. palette: uint8 [C, 3].

    Returns:
      uint8 [H, W, 3].
    """
    table = np.full((256, 3), WRONG, np.uint8)
    table[:len(palette)] = palette
    result = table[label]
    stripes = STRIPES[np.add.outer(np.arange(label.shape[0]), np.arange(label.shape[1])) // 4 % 2]
    return np.where((label == IGNORE)[..., None], stripes, result)


def _name(label: int, source: Source) -> str:
    return 'ignore' if label == IGNORE else source.classes[label] if label < source.num_classes else 'outside'


def _swatch(label: int, source: Source) -> tuple[int, ...]:
    known = label < source.num_classes
    return tuple(source.palette[label].tolist()) if known else tuple(STRIPES[0]) if label == IGNORE else WRONG


def _wrap(entries, font, width: int) -> list[list[tuple[int, tuple, str]]]:
    """Entries of the legend as lines of (x, colour, text)."""
    lines, x = [], 0
    for color, text in entries:
        length = 17 + int(font.getlength(text)) + 14
        if not lines or x + length > width:
            lines.append([])
            x = 0
        lines[-1].append((x, color, text))
        x += length
    return lines
