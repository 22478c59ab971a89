"""Networks of torch for images of any size, with the arithmetic on sizes that people write. Needs torch."""

import torch
from torch import nn
from torch.nn import functional


class Segmentation(nn.Module):
    """Made as large as the images again, at the end."""

    def __init__(self, **how):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.head, self.how = nn.Conv2d(8, 4, 1), how

    def forward(self, x):
        y = self.head(torch.relu(self.second(torch.relu(self.first(x)))))
        return functional.interpolate(y, size=x.shape[-2:], **self.how)


class UNet(nn.Module):
    """What goes up is padded to the size of what it meets."""

    def __init__(self):
        super().__init__()
        self.down, self.inner = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.up, self.last = nn.ConvTranspose2d(8, 8, 2, 2), nn.Conv2d(16, 4, 3, 1, 1)

    def forward(self, x):
        x = torch.relu(self.down(x))
        up = self.up(torch.relu(self.inner(functional.max_pool2d(x, 2))))
        rows, columns = x.size(2) - up.size(2), x.size(3) - up.size(3)
        up = functional.pad(up, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        return self.last(torch.cat([x, up], 1))


class Cropped(UNet):
    """What goes up is cut to the size of what it meets."""

    def forward(self, x):
        x = torch.relu(self.down(x))
        up = functional.interpolate(torch.relu(self.inner(functional.max_pool2d(x, 2, ceil_mode=True))), scale_factor=2)
        return self.last(torch.cat([x, up[:, :, : x.shape[2], : x.shape[3]]], 1))


class Shuffled(nn.Module):
    """Channels shuffled, then pixels made of them."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.pixels = nn.Conv2d(3, 16, 3, 1, 1), nn.Conv2d(16, 16, 1), nn.PixelShuffle(2)

    def forward(self, x):
        y = self.first(x)
        n, c, h, w = y.shape
        return self.pixels(self.second(y.view(n, 4, c // 4, h, w).transpose(1, 2).reshape(n, c, h, w)))


class Detection(nn.Module):
    """Boxes at each place of two maps, one behind the other."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.heads = nn.ModuleList([nn.Conv2d(8, 10, 1), nn.Conv2d(8, 10, 1)])

    def forward(self, x):
        fine = torch.relu(self.first(x))
        found = []
        for head, features in zip(self.heads, (fine, torch.relu(self.second(fine))), strict=True):
            y = head(features)
            n, _, h, w = y.shape
            found.append(y.view(n, 2, 5, h, w).permute(0, 3, 4, 1, 2).reshape(n, -1, 5))
        return torch.cat(found, 1)


class Gated(nn.Module):
    """By the mean and maximum of all channels at each pixel, and by those of all pixels of each channel."""

    def __init__(self):
        super().__init__()
        self.first, self.pixels, self.channels = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(2, 1, 7, 1, 3), nn.Linear(8, 8)

    def forward(self, x):
        y = self.first(x)
        n, c, _, _ = y.shape
        y = y * torch.sigmoid(self.channels(y.mean((2, 3)))).view(n, c, 1, 1).expand_as(y)
        return y * torch.sigmoid(self.pixels(torch.cat([y.mean(1, keepdim=True), y.amax(1, keepdim=True)], 1)))


class Pyramid(nn.Module):
    """The mean of the whole image beside each pixel."""

    def __init__(self):
        super().__init__()
        self.first, self.whole, self.last = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(16, 4, 1)
        self.how = {"mode": "bilinear", "align_corners": False}

    def forward(self, x):
        y = self.first(x)
        whole = functional.interpolate(functional.adaptive_avg_pool2d(y, 1), size=y.shape[-2:], **self.how)
        return functional.interpolate(self.last(torch.cat([y, self.whole(whole)], 1)), size=x.shape[-2:], **self.how)


class Attention(nn.Module):
    """Every pixel looks at all others."""

    def __init__(self):
        super().__init__()
        self.first, self.query, self.key = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8, 8), nn.Linear(8, 8)
        self.norm, self.last = nn.LayerNorm(8), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        y = self.first(x)
        n, c, h, w = y.shape
        rows = self.norm(y.flatten(2).transpose(1, 2))
        rows = rows + torch.softmax(self.query(rows) @ self.key(rows).transpose(1, 2), -1) @ rows
        return self.last(rows.transpose(1, 2).reshape(n, c, h, w))


class Bordered(nn.Module):
    """Mirrored, and repeated, at the border."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 5, padding=2, padding_mode="reflect")
        self.second = nn.Conv2d(8, 8, 3, padding=1, padding_mode="replicate")

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


NETWORKS = {
    "bilinear": lambda: Segmentation(mode="bilinear"),
    "nearest": lambda: Segmentation(mode="nearest"),
    "corners": lambda: Segmentation(mode="bilinear", align_corners=True),
    "padded": UNet,
    "cropped": Cropped,
    "shuffled": Shuffled,
    "detection": Detection,
    "gated": Gated,
    "pyramid": Pyramid,
    "attention": Attention,
    "bordered": Bordered,
}


def export(name, path, how):
    """Write one with an open number of images, rows and columns."""
    torch.manual_seed(0)
    model, x = NETWORKS[name]().eval(), torch.randn(2, 3, 24, 32)
    if how == "dynamo":
        any_ = torch.export.Dim.DYNAMIC
        shapes = {"x": {0: any_, 2: any_, 3: any_}}
        torch.onnx.export(model, (x,), path, dynamic_shapes=shapes, external_data=False, verbose=False)
    else:
        axes = {"x": {0: "n", 2: "h", 3: "w"}}
        torch.onnx.export(model, (x,), path, dynamo=False, input_names=["x"], dynamic_axes=axes)
