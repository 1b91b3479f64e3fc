"""ResNets in torchvision's names, which timm and the repositories of the field share.

With the deep stem the three convolutions are the sequence conv1.0 .. conv1.6 and bn1, as UniMatch and
timm (its -s, -c and -d models) save them.
"""

import re

from s4mim_jax.models.resnet import RESNETS
from s4mim_jax.pretrained.schemes.scheme import COUNTERS, Arrays, Found, Scheme, Source, shape_of, torch_leaf


def recognise(arrays: Arrays) -> Found | None:
    """Blocks per stage and their kind tell the encoder; sequence conv1 tells the deep stem."""
    blocks = tuple(len({n.split('.')[1] for n in arrays if n.startswith(f'layer{stage}.')})
                   for stage in (1, 2, 3, 4))
    if not all(blocks):
        return None
    bottleneck = 'layer1.0.conv3.weight' in arrays
    known = [name for name, kind in RESNETS.items() if kind == (blocks, bottleneck)]
    settings = {'stem': 'deep' if 'conv1.0.weight' in arrays else '7x7'}
    first = shape_of(arrays, 'layer1.0.conv1.weight')
    if first:
        settings['width'] = first[0]
    return Found(known[0] if known else f'a ResNet of {"-".join(map(str, blocks))} blocks', settings,
                 refusal=_refusal(arrays, bottleneck, settings))


def _refusal(arrays, bottleneck, settings):
    if len(shape_of(arrays, 'layer2.0.downsample.1.weight')) == 4:
        return ('its shortcuts average 2x2 pixels before their convolution (ResNet-D), ours have a stride there\n'
                'valid: a ResNet with the same stem and strided shortcuts (UniMatch, timm -s), or with the 7x7 stem')
    middle, last = (shape_of(arrays, f'layer1.0.conv{i}.weight') for i in (2, 3))
    if bottleneck and middle and middle[1] != middle[0]:
        return 'its convolutions are grouped (ResNeXt), ours are not'
    width = settings.get('width')
    if bottleneck and last and width and last[0] != 4 * width:
        return 'its bottlenecks are wide (Wide ResNet), ours narrow by four'
    stem = [shape_of(arrays, f'conv1.{i}.weight')[:1] for i in (0, 3, 6)]
    if settings['stem'] == 'deep' and all(stem) and width and stem != [(width,), (width,), (2 * width,)]:
        return (f'its stem has {"-".join(str(s[0]) for s in stem)} channels, the deep stem here '
                f'{width}-{width}-{2 * width} (UniMatch, timm -s)')
    return ''


def source(path: str, found: Found) -> Source:
    """Our leaf -> its name in the state dict."""
    module, *inner, leaf = path.split('/')
    kind = inner[-1]  # conv or norm
    if module.startswith('stem'):
        return torch_leaf(_stem(int(module.removeprefix('stem')), kind, found.settings['stem']), leaf)
    stage, block = re.fullmatch(r'stage(\d+)_block(\d+)', module).groups()
    if inner[0] == 'shortcut':
        layer = 'downsample.0' if kind == 'conv' else 'downsample.1'
    else:
        layer = inner[0] if kind == 'conv' else inner[0].replace('conv', 'bn')
    return torch_leaf(f'layer{stage}.{int(block) - 1}.{layer}', leaf)


def _stem(number, kind, stem):
    if stem == '7x7' or (kind == 'norm' and number == 3):
        return 'conv1' if kind == 'conv' else 'bn1'
    return f'conv1.{3 * (number - 1) + (kind == "norm")}'


RESNET = Scheme('resnet', 'torchvision, timm, UniMatch (deep stem)', '`layer1.0.conv1.weight`, `conv1.0.weight` (deep)',
                'encoder', recognise, source, re.compile(COUNTERS + r'|^(fc|classifier|head)\.'))
