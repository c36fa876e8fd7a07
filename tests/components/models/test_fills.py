"""Every fill a network can start from: known pixels stay, missing ones are what the equations say."""

import numpy as np
import pytest
import torch

from components.data.statistics import measured
from components.models.fills import BiharmonicFillConfig, FillConfig, GaussianFillConfig, HarmonicFillConfig
from components.models.gaussian import GaussianFill, solved, tell
from components.models.stationary import Spectral, conditional_mean, cosines, laplacian
from components.models.unet import UnetConfig
from components.section import kinds

SIZE = 8


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def picture(*shape, seed=0):
    return (numbers(*shape, seed=seed).cumsum(2).cumsum(3) / 16).clamp(-1, 1)


def holes(batch, height, width, seed=0):
    return (numbers(batch, 1, height, width, seed=seed) > 0.5).float()


STATISTICS = measured(iter([picture(100, 3, SIZE, SIZE, seed=3).flatten(0, 1).numpy()]), SIZE)


def told(config, size=SIZE):
    fill = config.build(size)
    tell(fill, STATISTICS)
    return fill


FILLS = [pytest.param(told(cls()), id=cls.model_fields["kind"].default) for cls in kinds(FillConfig)]


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(("height", "width"), [(SIZE, SIZE), (12, 20)])
def test_known_pixels_stay_and_what_missing_ones_hold_is_never_read(fill, height, width):
    image, missing = picture(3, 3, height, width), holes(3, height, width)
    filled = fill(image, missing)
    known = (missing == 0).expand_as(image)
    assert torch.equal(filled[known], image[known])
    assert filled.abs().max() <= 1
    assert not torch.equal(filled, image)
    other = torch.where(missing > 0, -image, image)
    assert torch.equal(fill(other, missing), filled)
    torch.testing.assert_close(fill(image[:1], missing[:1]), filled[:1])


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("share", [0, 1])
def test_an_image_that_misses_nothing_or_all_is_finite_and_spoils_no_other(fill, share):
    image, missing = picture(3, 3, SIZE, SIZE), holes(3, SIZE, SIZE)
    alone = fill(image[:1], missing[:1])
    missing[1] = share
    filled = fill(image, missing)
    assert torch.isfinite(filled).all()
    torch.testing.assert_close(filled[:1], alone)


@pytest.mark.parametrize("fill", FILLS)
def test_autocast_does_not_touch_a_fill(fill):
    image, missing = picture(2, 3, SIZE, SIZE), holes(2, SIZE, SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        low = fill(image, missing)
    assert torch.equal(low, fill(image, missing))


def directly(image, missing, precision):
    """Solve P_mm u = -P_mk v of one image in double precision."""
    values = image.double().flatten(1)
    hole = missing.flatten() > 0
    right = -precision[hole][:, ~hole] @ values[:, ~hole].T
    values[:, hole] = torch.linalg.solve(precision[hole][:, hole], right).T
    return values.view(image.shape)


def matrix_of(spectrum):
    """Return the matrix of pixels by pixels that is `spectrum` among the frequencies of the cosine transform."""
    waves = torch.kron(*(cosines(length, spectrum) for length in spectrum.shape))
    return waves.T @ (spectrum.flatten()[:, None] * waves)


@pytest.mark.parametrize(("config", "order"), [(HarmonicFillConfig(), 1), (BiharmonicFillConfig(), 2)])
def test_a_laplacian_fill_solves_its_equation(config, order):
    image, missing = 0.2 * picture(4, 3, 12, 20), holes(4, 12, 20)
    missing[:, :, 3:8, 4:13] = 1
    filled = config.build(12)(image, missing)
    matrix = matrix_of(laplacian(12, 20, image.double()) ** order)
    for one, hole, result in zip(image, missing, filled, strict=True):
        assert (directly(one, hole[0], matrix).clamp(-1, 1) - result).abs().max() < 2e-3  # a quarter of a level


def test_the_laplacian_is_that_of_neighbouring_pixels():
    matrix = matrix_of(laplacian(3, 4, torch.zeros((), dtype=torch.float64)))
    corner = torch.zeros(3, 4, dtype=torch.float64)
    corner[0, 0], corner[0, 1], corner[1, 0] = 2, -1, -1
    torch.testing.assert_close(matrix[0].view(3, 4), corner)


def test_a_gaussian_fill_is_the_mean_given_the_known_pixels_as_the_covariance_has_it():
    image, missing = picture(4, 3, SIZE, SIZE), holes(4, SIZE, SIZE)
    covariance = torch.linalg.inv(torch.from_numpy(STATISTICS["precision"]).double())
    mean = float(STATISTICS["mean"])
    filled = told(GaussianFillConfig())(image, missing)
    for one, hole, result in zip(image, missing[:, 0].flatten(1) > 0, filled, strict=True):
        known = one.flatten(1)[:, ~hole].double() - mean
        expected = mean + covariance[hole][:, ~hole] @ torch.linalg.solve(covariance[~hole][:, ~hole], known.T)
        torch.testing.assert_close(result.flatten(1)[:, hole], expected.T.float().clamp(-1, 1), atol=1e-3, rtol=0)


def test_conjugate_gradients_end_where_the_decomposition_does():
    image, missing = picture(4, 3, SIZE, SIZE), holes(4, SIZE, SIZE)
    precision = torch.from_numpy(STATISTICS["precision"])
    exact = solved(image, missing > 0, precision)
    variance = Spectral(torch.from_numpy(STATISTICS["spectrum"]))

    def multiplied(images):
        return (images.flatten(2) @ precision).view_as(images)

    swept = conditional_mean(image * (1 - missing), missing, multiplied, variance, 60)
    assert (swept - exact).abs().max() < 0.02
    assert (swept - exact).square().mean().sqrt() < 2e-3


@pytest.mark.parametrize("power", [1.5, 3.0])
def test_images_of_another_size_are_filled_by_the_power_law_of_the_spectrum_and_know_no_place(power):
    fill = GaussianFill(SIZE)
    radii = torch.hypot(*torch.meshgrid(2 * [torch.arange(SIZE) / SIZE], indexing="ij"))
    fill.spectrum.copy_(5 * radii.clamp_min(0.01) ** -power)
    law = fill._power_law(20, 16)
    torch.testing.assert_close(law[4, 0], torch.tensor(5 * (4 / 20) ** -power))
    torch.testing.assert_close(law[0, 8], torch.tensor(5 * 0.5**-power))
    image, missing = 0.2 * picture(2, 3, 20, 16), holes(2, 20, 16)
    torch.testing.assert_close(fill(image + 0.3, missing), fill(image, missing) + 0.3, atol=0.02, rtol=0)


def test_statistics_of_another_size_are_refused_by_their_numbers():
    network = UnetConfig(fill=GaussianFillConfig()).build(16)
    with pytest.raises(ValueError, match="found statistics of images of 8 px, expected of 16 px"):
        tell(network, STATISTICS)


def test_what_a_network_was_told_is_in_its_weights():
    network = UnetConfig(widths=(4, 8), blocks=(1, 1), fill=GaussianFillConfig()).build(SIZE)
    tell(network, STATISTICS)
    served = UnetConfig(widths=(4, 8), blocks=(1, 1), fill=GaussianFillConfig()).build(SIZE)
    served.load_state_dict(network.state_dict())
    image, missing = picture(2, 3, SIZE, SIZE), holes(2, SIZE, SIZE)
    assert torch.equal(served.eval()(image, missing), network.eval()(image, missing))
    assert np.array_equal(served.fill.precision.numpy(), STATISTICS["precision"])
