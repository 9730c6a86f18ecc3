"""The critic: is this a clean image? ("Network Architectures" in the paper)."""

import torch
from torch import Tensor, nn

from .blocks import Down

__all__ = ["PAPER_WIDTHS", "Critic"]

PAPER_WIDTHS = (64, 64, 128, 128)
MIN_SIZE_PX = 32


class Critic(nn.Module):
    """Four downs with dropout, then one fully connected output without activation (Wasserstein critic).

    Each down is a transposed 3×3 convolution and a 3×3 convolution of stride 2, with leaky ReLU, and with instance
    norm but in the first: batch norm would mix the images whose gradients the penalty of eq. 1 looks at one by one.

    Parameters
    ----------
    size_px : int
        Side of the square images, at least 32 [px].
    channels : tuple of int
        Channels after each down; the paper's by default.
    dropout : float
        Share of values that is dropped after each down while training.

    Raises
    ------
    ValueError
        If the images are too small to be halved four times.
    """

    def __init__(self, size_px: int, channels: tuple[int, ...] = PAPER_WIDTHS, dropout: float = 0.25) -> None:
        super().__init__()
        if size_px < MIN_SIZE_PX:
            raise ValueError(f"got images of {size_px} px for the critic; expected at least {MIN_SIZE_PX} px")
        self.size_px = size_px
        layers: list[Down] = []
        before, side = 1, size_px
        for index, width in enumerate(channels):
            layers.append(Down(before, width, norm=index > 0))
            before, side = width, (side + 1) // 2
        self.downs = nn.ModuleList(layers)
        self.dropout = dropout
        self.output = nn.Linear(before * side * side, 1)

    def forward(self, images: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """Score images of shape (n, 1, size_px, size_px); the result has the shape (n,), larger means cleaner.

        While training, `noise` on the images' device decides which values are dropped; without it, torch's own does.
        """
        if tuple(images.shape[1:]) != (1, self.size_px, self.size_px):
            raise ValueError(
                f"got a tensor of shape {tuple(images.shape)}; expected (n, 1, {self.size_px}, {self.size_px})"
            )
        for down in self.downs:
            images = self._drop(down(images), noise)
        with torch.autocast(images.device.type, enabled=False):
            # Scores differ by little of what they are, which bfloat16 would round away.
            return self.output(images.flatten(1).to(self.output.weight.dtype)).squeeze(1)  # type: ignore[no-any-return]

    def _drop(self, values: Tensor, noise: torch.Generator | None) -> Tensor:
        """Set a share of the values to zero and raise the others, so that the mean stays (as `torch.nn.Dropout`)."""
        if not self.training:
            return values
        kept = torch.empty_like(values).bernoulli_(1 - self.dropout, generator=noise)
        return values * kept / (1 - self.dropout)
