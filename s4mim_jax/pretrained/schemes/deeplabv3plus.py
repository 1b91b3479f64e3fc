"""The DeepLabV3+ decoder as the UniMatch repository saves it beside `backbone.`"""

import re

from s4mim_jax.pretrained.schemes.scheme import COUNTERS, Arrays, Found, Scheme, Source, shape_of, torch_leaf

LAYERS = {'reduce': ('reduce.0', 'reduce.1'), 'fuse1': ('fuse.0', 'fuse.1'), 'fuse2': ('fuse.3', 'fuse.4')}


def recognise(arrays: Arrays) -> Found | None:
    """Widths and classes come from the shapes; the number of atrous branches from their names."""
    if 'fuse.0.weight' not in arrays or not any(n.startswith('head.b0.') for n in arrays):
        return None
    settings = {}
    for key, name in (('decoder_width', 'fuse.0.weight'), ('low_level_width', 'reduce.0.weight')):
        if name in arrays:
            settings[key] = arrays[name].shape[0]
    classifier = shape_of(arrays, 'classifier.weight') or shape_of(arrays, 'classifier.bias')
    pooling = [int(m[1]) for n in arrays if (m := re.match(r'head\.b(\d+)\.gap\.', n))]
    return Found('deeplabv3plus', settings, {'align_corners': True}, classifier[0] if classifier else None,
                 details=max(pooling, default=4))


def source(path: str, found: Found) -> Source:
    """Our leaf -> its name; branch b0 is the point, b1.. the atrous ones, the last the image's mean."""
    module, *inner, leaf = path.split('/')
    if module == 'classifier':
        return torch_leaf('classifier', leaf)
    norm = inner[-1] == 'norm'
    if module != 'aspp':
        return torch_leaf(LAYERS[module][norm], leaf)
    if inner[0] == 'pooling':
        return torch_leaf(f'head.b{found.details}.gap.{1 + norm}', leaf)
    names = {'point': 'b0', 'project': 'project'}
    branch = names.get(inner[0]) or f'b{inner[0].removeprefix("atrous")}'
    return torch_leaf(f'head.{branch}.{int(norm)}', leaf)


DEEPLABV3PLUS = Scheme('deeplabv3plus', 'UniMatch, beside `backbone.`', '`head.b0.0.weight`, `fuse.0.weight`',
                       'decoder', recognise, source, re.compile(COUNTERS),
                       re.compile(r'^(head|reduce|fuse|classifier)\.'))
