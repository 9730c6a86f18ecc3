"""Instance normalisation whose statistics can be frozen, so that a tile does not change its own result."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["InstanceNorm", "frozen_statistics", "fuses_norms"]


@cache
def fuses_norms(device: torch.device) -> bool:
    """Return whether norm and activation are one on a device, for images in the channels_last layout.

    So it is on a CUDA GPU where Triton is and works, which needs a C compiler, and no other LLVM beside its own.
    """
    if device.type != "cuda":
        return False
    try:
        if _has_another_llvm():
            raise ImportError("this process paints by LLVM, without a GPU, and would crash with that of Triton")
        from .fused_norm import fused_map

        sample = torch.ones((1, 8, 4, 4), device=device).contiguous(memory_format=torch.channels_last)
        fused_map(sample, sample[0, :, 0, 0], sample[0, :, 0, 0], 1.0)
    except Exception as error:  # whatever a compiler may raise
        warnings.warn(
            f"the preset paper goes on without fused norms, more slowly: {error}", RuntimeWarning, stacklevel=2
        )
        return False
    return True


def _has_another_llvm(libraries: Path = Path("/proc/self/maps")) -> bool:
    """Return whether this process has loaded LLVM, as Mesa does to paint windows where no GPU paints them."""
    return libraries.exists() and "libLLVM" in libraries.read_text()


class InstanceNorm(nn.Module):
    """Affine instance normalisation (Ulyanov et al. 2016) with optionally given statistics, and a leaky ReLU.

    Parameters
    ----------
    channels : int
        Number of channels; each is normalised on its own.
    slope : float
        Of the leaky ReLU below zero; 1 leaves the values as they are.
    eps : float
        Added to the variance.
    """

    def __init__(self, channels: int, slope: float = 1.0, eps: float = 1e-5) -> None:
        super().__init__()
        self.slope, self.eps = slope, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        # None is a buffer: statistics belong to the images at hand and are never saved.
        self._measuring = False
        self.measured: tuple[Tensor, ...] = ()
        self._frozen: tuple[Tensor, Tensor] | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Normalise and activate images of shape (n, channels, h, w); with frozen statistics they are overwritten."""
        if self._measuring:
            return self._measure(images)
        if self._frozen is None:
            return self._normalise(images)
        scale, shift = self._frozen
        # In place and in one pass: for large images, new memory costs more than the arithmetic.
        if fuses_norms(images.device) and images.is_contiguous(memory_format=torch.channels_last):
            from .fused_norm import fused_map

            return fused_map(images, scale, shift, self.slope)
        return self._activate(torch.addcmul(shift, images, scale, out=images))

    def _normalise(self, images: Tensor) -> Tensor:
        """Normalise by torch's batch norm of one image, whose channels are those of all images, or one by one."""
        if images.is_contiguous():
            # Not group norm, which autocast does in float32 on a GPU. The activation comes before the view: autograd
            # copies a view that is changed in place.
            count, channels, *size = images.shape
            weight, bias = self.weight.repeat(count), self.bias.repeat(count)
            joined = self._batch_norm(images.view(1, count * channels, *size), weight, bias)
            return self._activate(joined).view(images.shape)
        if fuses_norms(images.device):
            from .fused_norm import fused_norm

            return fused_norm(images, self.weight, self.bias, self.eps, self.slope)
        # In the channels_last layout it would copy the images; group norm takes several times as long as batch norm.
        each = [self._activate(self._batch_norm(image, self.weight, self.bias)) for image in torch.split(images, 1)]
        return torch.cat(each) if len(each) > 1 else each[0]

    def _batch_norm(self, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        # Not the one of torch.nn.functional, which refuses single pixels.
        return torch.batch_norm(images, weight, bias, None, None, True, 0.0, self.eps, torch.backends.cudnn.enabled)

    def _activate(self, values: Tensor) -> Tensor:
        return F.leaky_relu(values, self.slope, inplace=True)

    def _measure(self, images: Tensor) -> Tensor:
        """Normalise and activate; keep the mean of each channel, and the inverse of its standard deviation."""
        # The only batch norm that tells its statistics: a GPU waits for every operation that would find them again.
        normalised, mean, inverse = torch.native_batch_norm(
            images, self.weight, self.bias, None, None, True, 0.0, self.eps
        )
        self.measured = mean, inverse
        return self._activate(normalised)

    def measure(self) -> None:
        """From now on, normalise by the statistics pooled over all images, and leave these in `measured`."""
        self._measuring = True

    def freeze(self, scale: Tensor, shift: Tensor) -> None:
        """Scale and shift whatever comes from now on, by one number a channel."""
        self._measuring, self._frozen = False, (scale.view(1, -1, 1, 1), shift.view(1, -1, 1, 1))

    def release(self) -> None:
        """Return to the statistics of each single image."""
        self._measuring, self.measured, self._frozen = False, (), None


@contextmanager
def frozen_statistics(generator: nn.Module, crops: Tensor) -> Iterator[None]:
    """Within this context every instance norm of a network uses the statistics of given crops.

    Each layer takes the mean and the variance that are pooled over all crops, normalised layer by layer in the same
    way; with a single crop this is ordinary instance norm of that crop. Gradients are not meant to pass through.

    Parameters
    ----------
    generator : Module
        The network; no other thread may use it within the context.
    crops : Tensor, shape (n, channels, h, w)
        Input images from which the statistics are taken.

    Examples
    --------
    >>> norm = InstanceNorm(1)
    >>> with torch.no_grad(), frozen_statistics(norm, torch.tensor([[[[1.0, 3.0]]]])):
    ...     [round(float(v), 2) for v in norm(torch.tensor([[[[3.0]]], [[[5.0]]]]))]
    [1.0, 3.0]
    """
    norms = [module for module in generator.modules() if isinstance(module, InstanceNorm)]
    try:
        if norms:
            for norm in norms:
                norm.measure()
            with torch.no_grad():
                generator(crops)
                _freeze(norms)
        yield
    finally:
        for norm in norms:
            norm.release()


def _freeze(norms: list[InstanceNorm]) -> None:
    """Let norms do to all images what they did to those they measured; a GPU would wait if it were found one by one."""
    means, inverses = zip(*(norm.measured for norm in norms), strict=True)
    scales = torch._foreach_mul([norm.weight for norm in norms], inverses)
    shifts = torch._foreach_addcmul([norm.bias for norm in norms], means, scales, value=-1)
    for norm, scale, shift in zip(norms, scales, shifts, strict=True):
        norm.freeze(scale, shift)
