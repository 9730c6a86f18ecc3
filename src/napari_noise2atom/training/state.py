"""What the next step of a training depends on, as tensors by name."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["collect_state", "restore_state"]

Networks = Mapping[str, nn.Module]
Optimisers = Mapping[str, torch.optim.Optimizer]


def collect_state(networks: Networks, optimisers: Optimisers) -> dict[str, Tensor]:
    """Return the weights of networks and the moments of optimisers, not copied.

    Parameters
    ----------
    networks : mapping of str to Module
        By role.
    optimisers : mapping of str to Optimizer
        By role.

    Returns
    -------
    dict of str to Tensor
        Names are ``role.weight`` and ``optimiser.role.number.moment``.
    """
    tensors = {f"{role}.{name}": tensor for role in networks for name, tensor in networks[role].state_dict().items()}
    for role, optimiser in optimisers.items():
        for number, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{role}.{number}.{name}": torch.as_tensor(m) for name, m in moments.items()}
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
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(f"optimiser.{role}.", tensors).items():
            number, moment = name.split(".")
            state.setdefault(int(number), {})[moment] = tensor
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
