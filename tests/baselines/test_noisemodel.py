"""The noise model of PPN2V, its loss and its posterior mean, against quadrature, known noise and hand calculation."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from napari_noise2atom.baselines.noisemodel import NoiseModel
from napari_noise2atom.baselines.ppn2v import (
    PosteriorMean,
    SampleGenerator,
    fit_noise_model,
    posterior_loss,
    posterior_mean,
)


@pytest.fixture
def skewed():
    """A model with different components, whose weights, means and variances depend on the clean value."""
    noise = NoiseModel(0.1)
    with torch.no_grad():
        noise.weights.copy_(torch.tensor([[0.2, 0.5], [0.0, -0.3], [-0.4, 0.1]]))
        noise.shifts.copy_(torch.tensor([[-0.2, 0.1], [0.0, 0.0], [0.5, -0.2]]))
        noise.variances[:, 1] = torch.tensor([0.01, 0.05, 0.1])
    return noise.requires_grad_(False)


@pytest.mark.parametrize("clean", [-0.8, 0.0, 0.9])
def test_the_density_integrates_to_one_and_its_mean_is_the_clean_value(skewed, clean):
    noisy = torch.linspace(-8, 8, 16001)
    density = skewed.log_likelihood(noisy, torch.full_like(noisy, clean)).exp()
    assert float(torch.trapezoid(density, noisy)) == pytest.approx(1, abs=1e-4)
    assert float(torch.trapezoid(noisy * density, noisy)) == pytest.approx(clean, abs=1e-4)


def test_the_density_is_that_of_a_gaussian_mixture(skewed):
    logs, means, variances = (part.numpy() for part in skewed.components(torch.tensor(0.3)))
    expected = sum(
        np.exp(log) * stats.norm.pdf(0.7, mean, np.sqrt(variance))
        for log, mean, variance in zip(logs, means, variances, strict=True)
    )
    found = skewed.log_likelihood(torch.tensor(0.7), torch.tensor(0.3)).exp()
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_the_fit_recovers_gain_and_read_out_noise():
    """A Poisson signal of 0.02 a count: the variance is gain × (clean + 1) + read-out noise squared."""
    rng = np.random.default_rng(0)
    gain, read = 0.02, 0.05
    clean = rng.uniform(-1, 1, 200_000)
    noisy = gain * rng.poisson((clean + 1) / gain) - 1 + read * rng.standard_normal(clean.shape)
    pairs = (torch.from_numpy(values.astype(np.float32)) for values in (clean, noisy))
    noise = fit_noise_model(*pairs, seed=0, progress=lambda share: None)
    asked = torch.tensor([-0.5, 0.0, 0.5])
    logs, means, variances = noise.components(asked)
    found = (logs.exp() * (variances + (means - asked) ** 2)).sum(0).numpy()
    np.testing.assert_allclose(found, gain * (asked.numpy() + 1) + read**2, rtol=0.1)


def one_gaussian(variance):
    """A model that is a Gaussian of one variance, so that densities are known."""
    noise = NoiseModel(variance)
    with torch.no_grad():
        noise.variances[:, 0] = variance
    return noise.requires_grad_(False)


def test_loss_and_posterior_mean_of_two_samples():
    noisy, samples = torch.tensor([[[[0.5]]]]), torch.tensor([[[[0.0]], [[1.2]]]])
    near, far = stats.norm.pdf(0.5, [0.0, 1.2], math.sqrt(0.2))
    noise = one_gaussian(0.2)
    assert float(posterior_loss(noise, noisy, samples)) == pytest.approx(-math.log((near + far) / 2), rel=1e-5)
    assert float(posterior_mean(noise, noisy, samples)) == pytest.approx(1.2 * far / (near + far), rel=1e-5)


def test_the_posterior_of_a_gaussian_prior_is_that_of_the_textbook():
    """Prior N(0, 1), noise N(0, 1/4): the mean is x / (1 + 1/4)."""
    quantiles = torch.from_numpy(stats.norm.ppf((np.arange(4000) + 0.5) / 4000).astype(np.float32))
    found = posterior_mean(one_gaussian(0.25), torch.tensor([[[[0.8]]]]), quantiles.view(1, -1, 1, 1))
    assert float(found) == pytest.approx(0.8 / 1.25, abs=2e-3)


def test_samples_begin_spread_over_all_grey_values():
    torch.manual_seed(0)
    network = SampleGenerator(16)
    samples = network(torch.zeros(1, 1, 16, 16))
    assert samples.shape == (1, 16, 16, 16)
    middle = samples.mean(dim=(0, 2, 3)).detach()
    assert float(middle.min()) < -0.8
    assert float(middle.max()) > 0.8
    mean = PosteriorMean(network, one_gaussian(0.2))(torch.zeros(1, 1, 12, 20))
    assert mean.shape == (1, 1, 12, 20)
