"""What the next step of a training depends on, as tensors by name."""

from collections.abc import Mapping

from torch import Tensor, nn

from .optimisers import Optimiser

__all__ = ["collect_state", "restore_state"]

Networks = Mapping[str, nn.Module]
Optimisers = Mapping[str, Optimiser]


def collect_state(networks: Networks, optimisers: Optimisers) -> dict[str, Tensor]:
    """Return the weights of networks and the moments of optimisers, not copied.

    Parameters
    ----------
    networks : mapping of str to Module
        By role.
    optimisers : mapping of str to Optimiser
        By role.

    Returns
    -------
    dict of str to Tensor
        Names are ``role.weight``, ``optimiser.role.number.moment`` and ``optimiser.role.steps``.
    """
    tensors = {f"{role}.{name}": tensor for role in networks for name, tensor in networks[role].state_dict().items()}
    for role, optimiser in optimisers.items():
        tensors |= {f"optimiser.{role}.{name}": tensor for name, tensor in optimiser.state().items()}
    return tensors


def restore_state(networks: Networks, optimisers: Optimisers, tensors: Mapping[str, Tensor]) -> None:
    """Take over what `collect_state` returned for the same roles.

    Parameters
    ----------
    networks, optimisers : mapping
        Are changed.
    tensors : mapping of str to Tensor
        By name.

    Raises
    ------
    RuntimeError, ValueError
        If they belong to other networks.
    """
    for role, network in networks.items():
        network.load_state_dict(_below(f"{role}.", tensors))
    for role, optimiser in optimisers.items():
        optimiser.restore(_below(f"optimiser.{role}.", tensors))


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
