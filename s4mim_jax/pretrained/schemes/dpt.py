"""The DPT decoder as the UniMatch V2 repository saves it beside `backbone.`

Its coarsest fusion holds a first unit that nothing passes through; it is left out.
"""

import re

from s4mim_jax.pretrained.schemes.scheme import TRANSPOSED, Arrays, Found, Scheme, Source, shape_of, torch_leaf

RESIZE = {'resize1': 'head.resize_layers.0', 'resize2': 'head.resize_layers.1', 'resize4': 'head.resize_layers.3'}


def recognise(arrays: Arrays) -> Found | None:
    """Widths and classes come from the shapes."""
    if not any(n.startswith('head.scratch.refinenet') for n in arrays):
        return None
    settings = {}
    output = 'head.scratch.output_conv'
    if f'{output}.0.weight' in arrays:
        settings['dpt_features'] = arrays[f'{output}.0.weight'].shape[0]
    classifier = shape_of(arrays, f'{output}.2.weight') or shape_of(arrays, f'{output}.2.bias')
    channels = [shape_of(arrays, f'head.projects.{i}.weight')[:1] for i in range(4)]
    if all(channels):
        settings['dpt_channels'] = tuple(int(c[0]) for c in channels)
    return Found('dpt', settings, {'align_corners': True}, classifier[0] if classifier else None)


def source(path: str, found: Found) -> Source:
    """Our leaf -> its name."""
    module, *inner, leaf = path.split('/')
    if module in RESIZE:
        return torch_leaf(RESIZE[module], leaf, TRANSPOSED if module != 'resize4' else None)
    if module in ('head1', 'classifier'):
        return torch_leaf(f'head.scratch.output_conv.{0 if module == "head1" else 2}', leaf)
    kind, number = re.fullmatch(r'(project|reduce|fuse)(\d)', module).groups()
    if kind == 'project':
        return torch_leaf(f'head.projects.{int(number) - 1}', leaf)
    if kind == 'reduce':
        return torch_leaf(f'head.scratch.layer{number}_rn', leaf)
    layer = 'out_conv' if inner == ['out'] else f'{inner[0].replace("unit", "resConfUnit")}.{inner[-1]}'
    return torch_leaf(f'head.scratch.refinenet{number}.{layer}', leaf)


DPT = Scheme('dpt', 'UniMatch V2, beside `backbone.`', '`head.scratch.refinenet1.out_conv.weight`', 'decoder',
             recognise, source, re.compile(r'^head\.scratch\.refinenet4\.resConfUnit1\.'), re.compile(r'^head\.'))
