"""State dicts in torchvision's names, written out by hand, and NumPy forward passes over them."""

import numpy as np

EPSILON = 1e-5


def _conv(state, rng, name, out, inner, size):
    kernel = rng.normal(0, np.sqrt(2 / (inner * size ** 2)), (out, inner, size, size))
    state[f'{name}.weight'] = kernel.astype(np.float32)


def _norm(state, rng, name, channels):
    state[f'{name}.weight'] = rng.uniform(0.5, 1.5, channels).astype(np.float32)
    state[f'{name}.bias'] = rng.normal(0, 0.2, channels).astype(np.float32)
    state[f'{name}.running_mean'] = rng.normal(0, 0.2, channels).astype(np.float32)
    state[f'{name}.running_var'] = rng.uniform(0.5, 1.5, channels).astype(np.float32)
    state[f'{name}.num_batches_tracked'] = np.array(7)


def mobilenet_v2(seed=0):
    """torchvision.models.mobilenet_v2().state_dict() with random values, classifier included."""
    state, rng = {}, np.random.default_rng(seed)
    _conv(state, rng, 'features.0.0', 32, 3, 3)
    _norm(state, rng, 'features.0.1', 32)
    channels, index = 32, 0
    for expansion, out, count in ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3),
                                  (6, 320, 1)):
        for _ in range(count):
            index += 1
            layer, wide, part = f'features.{index}.conv', channels * expansion, 0
            if expansion > 1:
                _conv(state, rng, f'{layer}.0.0', wide, channels, 1)
                _norm(state, rng, f'{layer}.0.1', wide)
                part = 1
            _conv(state, rng, f'{layer}.{part}.0', wide, 1, 3)
            _norm(state, rng, f'{layer}.{part}.1', wide)
            _conv(state, rng, f'{layer}.{part + 1}', out, wide, 1)
            _norm(state, rng, f'{layer}.{part + 2}', out)
            channels = out
    _conv(state, rng, 'features.18.0', 1280, 320, 1)
    _norm(state, rng, 'features.18.1', 1280)
    state['classifier.1.weight'] = np.zeros((10, 1280), np.float32)
    state['classifier.1.bias'] = np.zeros(10, np.float32)
    return state


def resnet(blocks=(2, 2, 2, 2), bottleneck=False, deep=False, seed=0, width=64):
    """torchvision's ResNet state dict with random values; deep = the three-convolution stem."""
    state, rng = {}, np.random.default_rng(seed)
    if deep:
        for index, (inner, out) in zip((0, 3, 6), ((3, width), (width, width), (width, 2 * width))):
            _conv(state, rng, f'conv1.{index}', out, inner, 3)
            _norm(state, rng, 'bn1' if index == 6 else f'conv1.{index + 1}', out)
    else:
        _conv(state, rng, 'conv1', width, 3, 7)
        _norm(state, rng, 'bn1', width)
    channels = 2 * width if deep else width
    for stage, count in enumerate(blocks):
        planes = width * 2 ** stage
        out = planes * (4 if bottleneck else 1)
        for block in range(count):
            layer = f'layer{stage + 1}.{block}'
            shapes = (((planes, channels, 1), (planes, planes, 3), (out, planes, 1)) if bottleneck
                      else ((planes, channels, 3), (planes, planes, 3)))
            for index, shape in enumerate(shapes, 1):
                _conv(state, rng, f'{layer}.conv{index}', *shape)
                _norm(state, rng, f'{layer}.bn{index}', shape[0])
            if block == 0 and (stage > 0 or channels != out):
                _conv(state, rng, f'{layer}.downsample.0', out, channels, 1)
                _norm(state, rng, f'{layer}.downsample.1', out)
            channels = out
    state['fc.weight'], state['fc.bias'] = np.zeros((10, channels), np.float32), np.zeros(10, np.float32)
    return state


def _padding(size, kernel, stride, same):
    if not same:
        return kernel // 2, kernel // 2
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def convolve(x, weight, stride=1, same=False):
    """x [H, W, C] float64, weight OIHW; depthwise where I is 1 and C is not."""
    kernel = weight.shape[2]
    x = np.pad(x, (*(_padding(n, kernel, stride, same) for n in x.shape[:2]), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (0, 1))[::stride, ::stride]
    if weight.shape[1] == 1 and x.shape[2] > 1:
        return np.einsum('hwcij,cij->hwc', windows, weight[:, 0].astype(np.float64))
    return np.einsum('hwcij,ocij->hwo', windows, weight.astype(np.float64), optimize=True)


def normalize(state, name, x):
    """BatchNorm in evaluation mode."""
    scale = state[f'{name}.weight'] / np.sqrt(state[f'{name}.running_var'].astype(np.float64) + EPSILON)
    return (x - state[f'{name}.running_mean']) * scale + state[f'{name}.bias']


def mobilenet_low(state, image, same):
    """features.0 .. features.3 of one image [H, W, 3] -> [H/4, W/4, 24]."""
    def layer(name, x, stride=1):
        x = convolve(x, state[f'{name}.0.weight'], stride, same)
        return np.clip(normalize(state, f'{name}.1', x), 0, 6)

    x = layer('features.0', image.astype(np.float64), 2)
    x = layer('features.1.conv.0', x)
    x = normalize(state, 'features.1.conv.2', convolve(x, state['features.1.conv.1.weight']))
    for index, stride in ((2, 2), (3, 1)):
        name, before = f'features.{index}.conv', x
        x = layer(f'{name}.1', layer(f'{name}.0', x), stride)
        x = normalize(state, f'{name}.3', convolve(x, state[f'{name}.2.weight']))
        if stride == 1:
            x = x + before
    return x


def resnet18_low(state, image):
    """conv1 .. layer1 of one image [H, W, 3] with the 7x7 stem -> [H/4, W/4, C]."""
    x = np.maximum(normalize(state, 'bn1', convolve(image.astype(np.float64), state['conv1.weight'], 2)), 0)
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    x = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))[::2, ::2].max((-2, -1))
    for block in ('layer1.0', 'layer1.1'):
        y = np.maximum(normalize(state, f'{block}.bn1', convolve(x, state[f'{block}.conv1.weight'])), 0)
        y = normalize(state, f'{block}.bn2', convolve(y, state[f'{block}.conv2.weight']))
        x = np.maximum(x + y, 0)
    return x
