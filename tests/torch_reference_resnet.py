"""PyTorch networks with the key names of torchvision's ResNets and of UniMatch's DeepLabV3+, written for the tests."""

import torch
from torch import nn
from torch.nn import functional as F

BLOCKS = {'resnet18': ((2, 2, 2, 2), False), 'resnet50': ((3, 4, 6, 3), True)}


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights and BatchNorm statistics that keep activations near one; evaluation mode."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor, low, high):
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    def normal(tensor, deviation):
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * deviation)

    with torch.no_grad():
        for name, tensor in module.state_dict(keep_vars=True).items():
            if name.endswith('num_batches_tracked'):
                tensor.fill_(7)
            elif name.endswith('running_var'):
                uniform(tensor, 0.5, 1.5)
            elif tensor.ndim >= 2 and not name.endswith(('token', 'tokens', 'pos_embed', 'position_embeddings')):
                normal(tensor, (1.5 / tensor[0].numel()) ** 0.5)
            elif name.endswith(('weight', 'gamma', 'lambda1')):
                uniform(tensor, 0.4, 1.0)
            else:
                normal(tensor, 0.3)
    return module.eval()


def conv(inputs, outputs, size, stride=1, dilation=1, groups=1):
    return nn.Conv2d(inputs, outputs, size, stride, dilation * (size // 2), dilation, groups, bias=False)


class Block(nn.Module):
    """Basic or bottleneck; dilation = (of the convolution with the stride, of those behind it)."""

    def __init__(self, inputs, planes, bottleneck, stride, dilation):
        super().__init__()
        outputs = planes * (4 if bottleneck else 1)
        if bottleneck:
            layers = [conv(inputs, planes, 1), conv(planes, planes, 3, stride, dilation[0]), conv(planes, outputs, 1)]
        else:
            layers = [conv(inputs, planes, 3, stride, dilation[0]), conv(planes, planes, 3, 1, dilation[1])]
        self.count = len(layers)
        for i, layer in enumerate(layers, start=1):
            setattr(self, f'conv{i}', layer)
            setattr(self, f'bn{i}', nn.BatchNorm2d(layer.out_channels))
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f'bn{i}')(getattr(self, f'conv{i}')(y))
            if i < self.count:
                y = F.relu(y)
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """`fc` is there as in the files and takes no part."""

    def __init__(self, name, width=8, deep=False, output_stride=32):
        super().__init__()
        blocks, bottleneck = BLOCKS[name]
        inputs = 2 * width if deep else width
        if deep:
            self.conv1 = nn.Sequential(conv(3, width, 3, 2), nn.BatchNorm2d(width), nn.ReLU(),
                                       conv(width, width, 3), nn.BatchNorm2d(width), nn.ReLU(), conv(width, inputs, 3))
        else:
            self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        reached, dilation = 4, 1
        for stage, count in enumerate(blocks):
            stride, before = 2 if stage else 1, dilation
            if reached * stride > output_stride:
                stride, dilation = 1, dilation * stride
            reached *= stride
            planes, layers = width * 2 ** stage, []
            for i in range(count):
                dilations = dilation if i else before, dilation
                layers.append(Block(inputs, planes, bottleneck, 1 if i else stride, dilations))
                inputs = planes * (4 if bottleneck else 1)
            setattr(self, f'layer{stage + 1}', nn.Sequential(*layers))
        self.fc = nn.Linear(inputs, 10)
        self.channels = width * (4 if bottleneck else 1), inputs

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        low = self.layer1(x)
        return low, self.layer4(self.layer3(self.layer2(low)))


def layers(*pairs):
    """Convolution, norm and ReLU in one flat sequence, as the names fuse.0 .. fuse.5 need."""
    return nn.Sequential(*(part for inputs, outputs, size, dilation in pairs
                           for part in (conv(inputs, outputs, size, 1, dilation), nn.BatchNorm2d(outputs), nn.ReLU())))


class Pooling(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.gap = nn.Sequential(nn.AdaptiveAvgPool2d(1), *layers((inputs, outputs, 1, 1)))

    def forward(self, x):
        return self.gap(x).expand(-1, -1, *x.shape[2:])


class Pyramid(nn.Module):
    def __init__(self, inputs, outputs, rates):
        super().__init__()
        self.b0 = layers((inputs, outputs, 1, 1))
        for i, rate in enumerate(rates, start=1):
            setattr(self, f'b{i}', layers((inputs, outputs, 3, rate)))
        setattr(self, f'b{len(rates) + 1}', Pooling(inputs, outputs))
        self.branches = len(rates) + 2
        self.project = layers((self.branches * outputs, outputs, 1, 1))

    def forward(self, x):
        return self.project(torch.cat([getattr(self, f'b{i}')(x) for i in range(self.branches)], 1))


class DeepLabV3Plus(nn.Module):
    """A whole network in UniMatch's names; all resizes align corners."""

    def __init__(self, backbone, classes, width=12, low_width=6, rates=(6, 12, 18)):
        super().__init__()
        low, high = backbone.channels
        self.backbone = backbone
        self.head = Pyramid(high, width, rates)
        self.reduce = layers((low, low_width, 1, 1))
        self.fuse = layers((low_width + width, width, 3, 1), (width, width, 3, 1))
        self.classifier = nn.Conv2d(width, classes, 1)

    def encode(self, images):
        """The backbone's maps, of stride 4 and of its output stride."""
        return self.backbone(images)

    def decode(self, maps, size):
        """Logits of `size` (height, width)."""
        low, high = maps
        high = F.interpolate(self.head(high), low.shape[2:], mode='bilinear', align_corners=True)
        x = self.classifier(self.fuse(torch.cat([self.reduce(low), high], 1)))
        return F.interpolate(x, size, mode='bilinear', align_corners=True)

    def forward(self, images):
        return self.decode(self.encode(images), images.shape[2:])
