"""The paper's generator: a U-Net of depth 3 with Xception modules and 16 residual blocks."""

from torch import Tensor, nn

from .blocks import Block, Branches, Down, Residual, TransposedConv, Up, activated
from .generator import OutputConv, SplitGenerator

__all__ = ["PaperGenerator"]

OVERLAP_PX = 64
FINE = (1, 3, 5, 7)
COARSE = (3, 5)


class PaperGenerator(SplitGenerator):
    """U-Net of the paper ("Network Architectures"), 13.79 M parameters and 13.14 GMAC per 128×128 image.

    The paper leaves open what its Xception module and its residual block contain, and where biases are. This is the
    reading that gives the parameters and the multiplications of the published network: every branch of an Xception
    module is a plain (not separable) block of its share of the channels; a residual block is one such block of 192
    channels; every convolution has a bias. Those that an instance norm would take away, 0.01 M, are left out here. A
    transposed convolution counts one multiplication per *input* pixel, kernel element and pair of channels.

    Parameters
    ----------
    frames_in : int
        Neighbouring frames that it sees; 1 in the paper.
    noise_channels : int
        Channels of noise that the caller appends; 0 in the paper.
    """

    def __init__(self, frames_in: int = 1, noise_channels: int = 0) -> None:
        super().__init__(frames_in, noise_channels, overlap_px=OVERLAP_PX, needs_statistics=True)
        self.encoders = nn.ModuleList(
            [
                nn.Sequential(Block(self.channels_in, 64, norm=False), Branches(64, FINE)),
                nn.Sequential(Down(64, 64), Block(64, 64), Branches(64, COARSE)),
                nn.Sequential(Down(64, 64), Block(64, 64), Branches(64, COARSE)),
            ]
        )
        self.transformer = nn.Sequential(
            Down(64, 128),
            Block(128, 128),
            Branches(128, COARSE),
            Block(128, 192),
            *(Residual(192) for _ in range(16)),
        )
        self.ups = nn.ModuleList([Up(192, 64), Up(64, 64), Up(64, 64)])
        self.decoders = nn.ModuleList(
            nn.Sequential(Block(64, 64), Branches(64, kernels)) for kernels in (COARSE, COARSE, FINE)
        )
        self.head = nn.Sequential(*activated(TransposedConv(64, 8, 9)), OutputConv(8, 1, 9), nn.Tanh())

    def coarse(self, images: Tensor) -> Tensor:
        """Encode images to (n, 64, h / 4, w / 4)."""
        return self._encode(images)[-1]

    def context(self, coarse: Tensor) -> Tensor:
        """Run the transformer and the deepest decoder; the receptive field of 700 px lies here."""
        up, decoder = self.ups[0], self.decoders[0]
        return decoder(up(self.transformer(coarse)) + coarse)  # type: ignore[no-any-return]

    def fine(self, images: Tensor, context: Tensor) -> Tensor:
        """Decode the context with the encoders of the images."""
        return self._decode(context, self._encode(images, depth=2))

    def translate(self, images: Tensor) -> Tensor:
        """Translate images whose sides are multiples of 8."""
        *skips, coarse = self._encode(images)
        return self._decode(self.context(coarse), skips)

    def _encode(self, images: Tensor, depth: int = 3) -> list[Tensor]:
        levels = []
        for encoder in self.encoders[:depth]:
            images = encoder(images)
            levels.append(images)
        return levels

    def _decode(self, images: Tensor, skips: list[Tensor]) -> Tensor:
        for up, decoder, skip in zip(self.ups[1:], self.decoders[1:], reversed(skips), strict=True):
            images = decoder(up(images) + skip)
        return self.head(images)  # type: ignore[no-any-return]
