"""What a line of a split list means: ids, paths from here or from another machine, with or without the mask's path.

Names are compared after normalising: `./`, `//`, `..`, links, absolute paths and the forms of Unicode lead to one
image. A path of another machine is matched by its longest end, of two words at least; the last word alone names
nothing.
"""

import os
import posixpath
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.images import IMAGE_SUFFIXES
from s4mim_jax.data.files.listing import composed, file_key
from s4mim_jax.data.files.text import as_western, undecoded
from s4mim_jax.data.source import Sample, Source


class Names:
    """The names of a dataset's images and masks."""

    def __init__(self, source: Source):
        self._source, self._index = source, {}
        for sample in source.splits['train']:
            below = self._below(sample.image)
            self._index[below] = self._index[posixpath.splitext(below)[0]] = sample
        self._index.update({sample.id: sample for sample in source.splits['train']})  # ids win over paths

    def resolve(self, line: str, *, labeled: bool) -> Sample | None:
        """The sample of a line; None if there is no such image.

        Args:
          line: one line of a list, not empty.
          labeled: a mask that is named must exist; otherwise one that does not is none.

        Raises:
          InputError: a name that fits several images, a mask where an image belongs, or a mask that does not exist.
        """
        forms = [line]
        if undecoded(line):  # names on this disk may hold such bytes; else it is text of an older machine
            forms.append(as_western(line))
        for form in forms:
            for image, mask in _words(composed(form)):
                sample = self._image(image)
                if sample is not None:
                    return sample if mask is None else self._with_mask(sample, image, mask, labeled)
        return None

    def held_out(self, sample: Sample) -> bool:
        """Whether the image belongs to val or test, by whatever way it was named."""
        return file_key(sample.image) in self._held_out

    @cached_property
    def _held_out(self) -> set:
        return {file_key(s.image) for split in ('val', 'test') for s in self._source.splits.get(split, ())}

    @cached_property
    def _by_file(self) -> dict:
        return {file_key(sample.image): sample for sample in self._source.splits['train']}

    @cached_property
    def _mask_files(self) -> set:
        return {file_key(s.mask) for split in self._source.splits.values() for s in split if s.mask}

    @cached_property
    def _by_last_word(self) -> dict[str, list[Sample]]:
        found = {}
        for sample in self._source.splits['train']:
            for word in {_last(sample.id), _last(_bare(self._below(sample.image)))}:
                found.setdefault(word, []).append(sample)
        return found

    def _below(self, path: str) -> str:
        """Below the root that holds it, composed, with '/'."""
        for root in self._source.roots:
            if path.startswith(root.rstrip(os.sep) + os.sep):
                path = os.path.relpath(path, root)
                break
        return composed(path.replace(os.sep, '/'))

    def _image(self, name: str) -> Sample | None:
        """By id or path; then outside the training list; then by the end of a foreign path."""
        path = posixpath.normpath(name)
        for word in dict.fromkeys((name, path, path.lstrip('/'), _bare(path), _bare(path).lstrip('/'))):
            found = self._index.get(word) or self._source.find(word)
            if found:
                return found
        file = self._existing(name)
        if file and path.lower().endswith(IMAGE_SUFFIXES):
            return self._of_file(file)
        if '/' not in path:
            if '\\' in name:  # written on Windows
                return self._image(name.replace('\\', '/'))
            return None
        return self._by_end(_bare(path))

    def _of_file(self, path: str) -> Sample:
        key = file_key(path)
        if key in self._by_file:
            return self._by_file[key]
        if key in self._mask_files:
            raise InputError(f'{path} is a mask, and stands where an image belongs\n'
                             'valid: one id, one image, or one pair `image mask`, a line')
        below = _bare(self._below(os.path.normpath(path)))
        known = self._source.find(_last(below))
        return known if known and file_key(known.image) == key else Sample(below, os.path.normpath(path), None)

    def _by_end(self, bare: str) -> Sample | None:
        words = bare.split('/')
        near = list(self._by_last_word.get(words[-1], ()))
        outside = self._source.find(words[-1])
        near += [outside] if outside and outside not in near else []
        scores = {sample: max(_common_end(words, text.split('/'))
                              for text in (sample.id, _bare(self._below(sample.image)))) for sample in near}
        best = max(scores.values(), default=0)
        fitting = [sample for sample, score in scores.items() if score == best]
        # A blank outside the end that fits may as well part two paths.
        if best < 2 or any(blank in word for word in words[:-best] for blank in ' \t'):
            return None
        if len(fitting) > 1:
            raise InputError(f'{bare!r} fits {fitting[0].image} and {fitting[1].image}\n'
                             f'valid: ids, or paths below {self._source.dir}')
        return fitting[0]

    def _with_mask(self, sample: Sample, image: str, name: str, labeled: bool) -> Sample:
        """With the mask that a line names; with its own where that is the one that was meant."""
        file = self._existing(name)
        same = posixpath.normpath(image) == posixpath.normpath(name)
        if same or (file and file_key(file) == file_key(sample.image)):
            return replace(sample, mask=None)  # UniMatch's way to say that there is none
        if not name.endswith(self._source.mask_end):
            return sample
        if file:
            own = sample.mask and file_key(file) == file_key(sample.mask)
            return sample if own else replace(sample, mask=os.path.normpath(file))
        if sample.mask and self._means(name, self._below(sample.mask)):
            return sample
        if labeled and sample.mask:
            raise InputError(f'{name!r}, the mask of {sample.id!r}, does not exist (there is {sample.mask})\n'
                             f'valid: paths of masks below {self._source.dir}, or ids alone')
        return replace(sample, mask=None)

    def _means(self, name: str, own: str) -> bool:
        """Whether a path that leads nowhere here is that of the sample's own mask elsewhere."""
        words, there = posixpath.normpath(name.replace('\\', '/')).split('/'), own.split('/')
        folders = self._source.mask_folders
        alias = len(words) > 1 and words[-2] in folders and there[-2:-1] and there[-2] in folders
        return words[-1] == there[-1] and (bool(alias) or _common_end(words, there) >= 2)

    def _existing(self, name: str) -> str | None:
        """The file that a name leads to: as it stands if absolute, else below a root."""
        for form in dict.fromkeys((name, unicodedata.normalize('NFD', name))):
            inside = [os.path.join(root, form.lstrip('/')) for root in self._source.roots]
            for path in ([form] if os.path.isabs(form) else []) + inside:
                if os.path.isfile(path):
                    return path
        return None


def _words(line: str) -> Iterator[tuple[str, str | None]]:
    """(image, mask or None) as a line may be meant: all of it first, as names may hold blanks."""
    yield line, None
    if '\t' in line:
        image, _, mask = line.partition('\t')
        yield image.strip(), mask.strip() or None
        return
    words = line.split(' ')
    for end in range(1, len(words)):
        image, mask = ' '.join(words[:end]).strip(), ' '.join(words[end:]).strip()
        if image and mask and (len(words) == 2 or image.lower().endswith(IMAGE_SUFFIXES) or ' ' not in mask):
            yield image, mask


def _bare(path: str) -> str:
    stem, suffix = posixpath.splitext(path)
    return stem if suffix.lower() in IMAGE_SUFFIXES else path


def _last(path: str) -> str:
    return path.rsplit('/', 1)[-1]


def _common_end(first: list[str], second: list[str]) -> int:
    """Number of equal words at the ends."""
    count = 0
    for a, b in zip(reversed(first), reversed(second)):
        if a != b:
            break
        count += 1
    return count
