"""PyTorch MobileNetV2 with torchvision's key names and with timm's, written for the tests."""

from torch import nn
from torch.nn import functional as F
from torch_reference_resnet import conv

# (expansion, channels, blocks, stride): Table 2 of Sandler et al. 2018.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def plan(output_stride):
    """Stage and block from 0, inputs, hidden, outputs, stride, dilation of every block."""
    inputs, reached, dilation = 32, 2, 1
    for stage, (expansion, outputs, count, stride) in enumerate(STAGES):
        before = dilation
        if reached * stride > output_stride:
            stride, dilation = 1, dilation * stride
        reached *= stride
        for block in range(count):
            yield (stage, block, inputs, inputs * expansion, outputs, 1 if block else stride,
                   dilation if block else before)
            inputs = outputs


class Torchvision(nn.Module):
    """features.0 .. features.18 and a classifier; the last two take no part."""

    def __init__(self, output_stride=32, epsilon=1e-5):
        super().__init__()
        norm = lambda channels: nn.BatchNorm2d(channels, eps=epsilon)
        unit = lambda *args, **more: nn.Sequential(conv(*args, **more), norm(args[1]), nn.ReLU6())
        self.features = nn.Sequential(unit(3, 32, 3, 2))
        self.residual = set()
        for number, (_, block, inputs, hidden, outputs, stride, dilation) in enumerate(plan(output_stride), start=1):
            parts = [unit(inputs, hidden, 1)] if hidden != inputs else []
            parts += [unit(hidden, hidden, 3, stride, dilation, groups=hidden), conv(hidden, outputs, 1), norm(outputs)]
            layer = nn.Module()
            layer.conv = nn.Sequential(*parts)
            self.features.append(layer)
            if block:
                self.residual.add(number)
        self.features.append(unit(320, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(), nn.Linear(1280, 10))

    def forward(self, x):
        x = self.features[0](x)
        for number in range(1, 18):
            y = self.features[number].conv(x)
            x = x + y if number in self.residual else y
            if number == 3:
                low = x
        return low, x


class TimmBlock(nn.Module):
    def __init__(self, inputs, hidden, outputs, stride, dilation, residual):
        super().__init__()
        self.residual, self.expands = residual, hidden != inputs
        if self.expands:
            self.conv_pw, self.bn1 = conv(inputs, hidden, 1), nn.BatchNorm2d(hidden)
            self.conv_dw, self.bn2 = conv(hidden, hidden, 3, stride, dilation, hidden), nn.BatchNorm2d(hidden)
            self.conv_pwl, self.bn3 = conv(hidden, outputs, 1), nn.BatchNorm2d(outputs)
        else:
            self.conv_dw, self.bn1 = conv(hidden, hidden, 3, stride, dilation, hidden), nn.BatchNorm2d(hidden)
            self.conv_pw, self.bn2 = conv(hidden, outputs, 1), nn.BatchNorm2d(outputs)

    def forward(self, x):
        if self.expands:
            y = F.relu6(self.bn2(self.conv_dw(F.relu6(self.bn1(self.conv_pw(x))))))
            y = self.bn3(self.conv_pwl(y))
        else:
            y = self.bn2(self.conv_pw(F.relu6(self.bn1(self.conv_dw(x)))))
        return x + y if self.residual else y


class Timm(nn.Module):
    """conv_stem, blocks.STAGE.BLOCK, conv_head and a classifier; the last two take no part."""

    def __init__(self, output_stride=32):
        super().__init__()
        self.conv_stem, self.bn1 = conv(3, 32, 3, 2), nn.BatchNorm2d(32)
        stages = [nn.Sequential() for _ in STAGES]
        for stage, block, *sizes in plan(output_stride):
            stages[stage].append(TimmBlock(*sizes, residual=block > 0))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = conv(320, 1280, 1), nn.BatchNorm2d(1280)
        self.classifier = nn.Linear(1280, 10)

    def forward(self, x):
        low = self.blocks[:2](F.relu6(self.bn1(self.conv_stem(x))))
        return low, self.blocks[2:](low)
