"""The low-pass M_s2b: one fixed Gaussian ("Network Architectures" in the paper)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LowPass"]


class LowPass(nn.Module):
    """Convolution with one normalised Gaussian, without padding and bias.

    The paper calls 15.0 a variance and writes σ; this is the variance, σ = 3.87 px.

    Parameters
    ----------
    size_px : int
        Side of the kernel, an odd number [px].
    variance_px2 : float
        Variance of the Gaussian [px²].
    """

    def __init__(self, size_px: int = 33, variance_px2: float = 15.0) -> None:
        super().__init__()
        self.size_px = size_px
        offsets = torch.arange(size_px, dtype=torch.float64) - (size_px - 1) / 2
        kernel = torch.exp(-(offsets**2) / (2 * variance_px2))
        self.kernel: Tensor
        self.register_buffer("kernel", (kernel / kernel.sum()).float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, 1, h, w) to (n, 1, h - size_px + 1, w - size_px + 1)."""
        if min(images.shape[-2:]) < self.size_px:
            raise ValueError(
                f"got images of {images.shape[-2]} × {images.shape[-1]} px; the low-pass needs at least "
                f"{self.size_px} px on each side"
            )
        # A Gaussian separates: 2 × 33 multiplications a pixel instead of 33². bfloat16 is too coarse for such sums.
        with torch.autocast(images.device.type, enabled=False):
            rows = F.conv2d(images.float(), self.kernel.view(1, 1, -1, 1))
            return F.conv2d(rows, self.kernel.view(1, 1, 1, -1))
