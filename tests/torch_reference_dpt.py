"""A PyTorch DPT on DINOv2 with the key names of UniMatch V2, written for the tests; all resizes align corners."""

from torch import nn
from torch.nn import functional as F
from torch_reference_dinov2 import named


class Unit(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Fusion(nn.Module):
    """Holds two units even where nothing comes from below and only the second is used."""

    def __init__(self, features):
        super().__init__()
        self.out_conv = nn.Conv2d(features, features, 1)
        self.resConfUnit1, self.resConfUnit2 = Unit(features), Unit(features)

    def forward(self, own, below, size):
        x = own if below is None else below + self.resConfUnit1(own)
        x = F.interpolate(self.resConfUnit2(x), size, mode='bilinear', align_corners=True)
        return self.out_conv(x)


class DPT(nn.Module):
    def __init__(self, backbone, classes, features=8, channels=(4, 6, 8, 10)):
        super().__init__()
        self.backbone, (a, b, _, d) = backbone, channels
        self.head = named(
            projects=nn.ModuleList(nn.Conv2d(backbone.width, c, 1) for c in channels),
            resize_layers=nn.ModuleList([nn.ConvTranspose2d(a, a, 4, 4), nn.ConvTranspose2d(b, b, 2, 2), nn.Identity(),
                                         nn.Conv2d(d, d, 3, 2, 1)]),
            scratch=named(**{f'layer{i}_rn': nn.Conv2d(c, features, 3, padding=1, bias=False)
                             for i, c in enumerate(channels, start=1)},
                          **{f'refinenet{i}': Fusion(features) for i in range(1, 5)},
                          output_conv=nn.Sequential(nn.Conv2d(features, features, 3, padding=1), nn.ReLU(),
                                                    nn.Conv2d(features, classes, 1))))

    def forward(self, images):
        scratch = self.head.scratch
        levels = [resize(project(x)) for x, project, resize in
                  zip(self.backbone(images), self.head.projects, self.head.resize_layers)]
        levels = [getattr(scratch, f'layer{i}_rn')(x) for i, x in enumerate(levels, start=1)]
        x = None
        for i in (4, 3, 2, 1):
            own = levels[i - 1]
            size = levels[i - 2].shape[2:] if i > 1 else [2 * n for n in own.shape[2:]]
            x = getattr(scratch, f'refinenet{i}')(own, x, size)
        return F.interpolate(scratch.output_conv(x), images.shape[2:], mode='bilinear', align_corners=True)
