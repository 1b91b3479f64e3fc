"""PyTorch: a ResNet with a U-Net decoder, the network of `models/unet.py` behind another encoder."""

import torch
from torch import nn
from torch.nn import functional as F
from torch_reference_resnet import layers


class ResNetUNet(nn.Module):
    """Logits of images from a `torch_reference_resnet.ResNet` of output stride 16 and steps of `widths` channels."""

    def __init__(self, backbone, classes, widths):
        super().__init__()
        self.backbone = backbone
        low, high = backbone.channels
        skips = [backbone.bn1.num_features, low, 2 * low]  # strides 2, 4, 8
        self.up, self.fuse, inputs = nn.ModuleList(), nn.ModuleList(), high
        for skip, width in zip(skips[::-1], widths, strict=True):
            self.up.append(nn.ConvTranspose2d(inputs, width, 2, 2))
            self.fuse.append(layers((skip + width, width, 3, 1), (width, width, 3, 1)))
            inputs = width
        self.classifier = nn.Conv2d(inputs, classes, 1)

    def encode(self, images):
        """Maps of strides 2, 4, 8, 16."""
        b = self.backbone
        first = F.relu(b.bn1(b.conv1(images)))
        second = b.layer1(F.max_pool2d(first, 3, 2, 1))
        third = b.layer2(second)
        return first, second, third, b.layer4(b.layer3(third))

    def decode(self, maps, size):
        """Logits of `size` (height, width)."""
        *skips, x = maps
        for skip, up, fuse in zip(skips[::-1], self.up, self.fuse):
            x = fuse(torch.cat([up(x)[..., :skip.shape[2], :skip.shape[3]], skip], 1))
        return F.interpolate(self.classifier(x), size, mode='bilinear', align_corners=True)

    def forward(self, images):
        return self.decode(self.encode(images), images.shape[2:])
