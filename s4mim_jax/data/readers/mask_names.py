"""Which mask belongs to which image, where the two are not called the same.

`ID` of an image finds, in this order: the mask `ID`; one that differs in capitals, in an ending such as `_mask`, or in
the image's own suffix (`ID.jpg.png`) alone; one where the image has an ending such as `_image` too. A mask belongs to
one image; names that leave a choice are refused.
"""

import difflib
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.images import IMAGE_SUFFIXES
from s4mim_jax.data.files.left_out import NOT_FOUND, LeftOut, Tally

ENDINGS = ('mask', 'masks', 'anno', 'annotation', 'annotations', 'label', 'labels', 'gt', 'groundtruth', 'seg',
           'segmentation', 'l')
_MASK_END = re.compile(rf'[_\-. ]({"|".join(ENDINGS)})$')
_IMAGE_END = re.compile(r'[_\-. ](image|img|im|rgb|sat|photo|original|orig)$')
LOOKED_FOR = 'ID, ID_mask, ID_anno, ID_label, ID_labels, ID_gt, ID_seg, ID.jpg, in capitals or not'


def reduced(identity: str) -> str:
    """A mask's id without what may differ from its image's."""
    return _without_suffix(_MASK_END.sub('', _without_suffix(identity.casefold())))


def _without_suffix(name: str) -> str:
    bare, suffix = posixpath.splitext(name)
    return bare if suffix in IMAGE_SUFFIXES else name


def match_masks(images: Iterable[str], masks: dict[str, str], tally: Tally) -> dict[str, str]:
    """Id of an image -> path of its mask; images without one are left out.

    Args:
      images: ids. masks: id -> path of the files in the masks' folder.
      tally: of that folder; receives the masks that no image has.

    Raises:
      InputError: several masks fit one image, or one mask several images.
    """
    images = list(images)
    found = {identity: masks[identity] for identity in images if identity in masks}
    open_images = [identity for identity in images if identity not in found]
    open_masks = [identity for identity in masks if identity not in found]
    for of_image in (str.casefold, lambda identity: _IMAGE_END.sub('', identity.casefold())):
        if not open_images or not open_masks:
            break
        candidates, wanting = defaultdict(list), defaultdict(list)
        for identity in open_masks:
            candidates[reduced(identity)].append(identity)
        for identity in open_images:
            wanting[of_image(identity)].append(identity)
        for name in candidates.keys() & wanting.keys():
            _refuse_choice(wanting[name], [masks[mask] for mask in candidates[name]])
            found[wanting[name][0]] = masks[candidates[name][0]]
        taken = set(found.values())
        open_images = [identity for identity in open_images if identity not in found]
        open_masks = [identity for identity in open_masks if masks[identity] not in taken]
    if open_masks:
        tally.add('masks without an image of that name', min(open_masks), len(open_masks))
    return found


def _refuse_choice(images: list[str], masks: list[str]) -> None:
    if len(images) > 1 or len(masks) > 1:
        raise InputError(f'the masks {", ".join(sorted(masks)[:3])} and the images {", ".join(sorted(images)[:3])} fit '
                         'each other in more than one way\nvalid: one mask an image; the id of the image decides')


def unmatched(images: Iterable[str], masks: dict[str, str], found: dict[str, str], where: str) -> tuple[LeftOut, ...]:
    """Where images lack a mask and masks an image at once, a pair that may have been meant."""
    taken = set(found.values())
    spare = {identity: path for identity, path in masks.items() if path not in taken}
    bare = [identity for identity in images if identity not in found]
    if not spare or not bare:
        return ()
    names = {posixpath.basename(identity).casefold(): identity for identity in spare}
    for identity in bare[:50]:  # the search compares every pair of names
        name = posixpath.basename(identity).casefold()
        near = ([other for other in names if name in other] or
                difflib.get_close_matches(name, list(names)[:5000], 1, 0.6))
        if near:
            example = f'{identity} (looked for {LOOKED_FOR}; near is {names[near[0]]})'
            break
    else:
        example = f'{bare[0]} (looked for {LOOKED_FOR}; masks there: {min(spare)}, ...)'
    return (LeftOut(len(bare), NOT_FOUND, where, example),)
