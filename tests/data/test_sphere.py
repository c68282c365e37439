"""The rigid sphere against its limits, an independent series and Woodworth's rule."""

import math

import numpy as np
import pytest
from scipy.special import eval_legendre, spherical_jn, spherical_yn

from speechbrain_fusion.data.sphere import (
    SPEED_OF_SOUND,
    HeadResponses,
    rigid_sphere,
    sphere_transfer,
)

RADIUS = 0.0875
LATERAL = np.array([15.0, 30, 45, 60, 75, 90])
RATES = [8000, 16000, 44100, 48000]


def hankel(order, x, derivative=False):
    return spherical_jn(order, x, derivative) - 1j * spherical_yn(order, x, derivative)


def itd(azimuth, low, high):
    """Slope of the interaural phase of ears at 90 degrees, in seconds."""
    frequency = np.linspace(low, high, 101)
    left, right = (sphere_transfer(azimuth - ear, frequency) for ear in (90, -90))
    phase = np.unwrap(np.angle(left / right))
    return np.polyfit(2 * np.pi * frequency, phase.T, 1)[0]


@pytest.mark.parametrize("distance", [math.inf, 1.5, 0.3])
def test_agrees_with_the_series_in_hankel_functions(distance):
    angles, frequency = np.array([0.0, 40, 90, 100, 180]), np.array([200, 2000, 8000])
    ka, orders = 2 * np.pi * frequency * RADIUS / SPEED_OF_SOUND, np.arange(45)[:, None]
    if math.isinf(distance):
        source = -(1j ** (orders + 1)) / ka**2
    else:
        ratio = distance / RADIUS
        source = hankel(orders, ka * ratio) * np.exp(1j * ka * ratio) * -ratio / ka
    terms = np.nan_to_num((2 * orders + 1) * source / hankel(orders, ka, True))
    expected = eval_legendre(orders, np.cos(np.deg2rad(angles))).T @ terms
    actual = sphere_transfer(angles, frequency, RADIUS, distance)
    np.testing.assert_allclose(actual, expected, atol=1e-10)


def test_is_one_at_zero_hertz_for_a_plane_wave():
    np.testing.assert_allclose(sphere_transfer(np.arange(181), [0.0]), 1, atol=1e-7)


@pytest.mark.parametrize("ratio", [1.25, 2.0, 10.0])
def test_zero_hertz_near_the_source_is_the_potential_of_a_point(ratio):
    orders = np.arange(400.0)
    expected = np.sum((2 * orders + 1) / (orders + 1) * ratio**-orders)
    actual = sphere_transfer([0], [0.0], RADIUS, ratio * RADIUS)
    np.testing.assert_allclose(actual, [[expected]], rtol=1e-6)


def test_pressure_doubles_at_normal_incidence_and_high_frequency():
    level = 20 * np.log10(np.abs(sphere_transfer([0], [5e4, 2e5, 1e6])))
    np.testing.assert_allclose(level, 20 * np.log10(2), atol=0.01)


def test_a_far_point_source_is_a_plane_wave():
    angles, frequency = np.arange(0, 181, 20), np.arange(100, 8000, 500)
    far = sphere_transfer(angles, frequency, distance=5000.0)
    np.testing.assert_allclose(far, sphere_transfer(angles, frequency), atol=3e-3)


def test_high_frequency_itd_is_woodworths():
    theta = np.deg2rad(LATERAL)
    expected = RADIUS / SPEED_OF_SOUND * (theta + np.sin(theta))
    np.testing.assert_allclose(itd(LATERAL, 3e5, 3.02e5), expected, atol=3e-6)


def test_low_frequency_itd_is_kuhns():
    expected = 3 * RADIUS / SPEED_OF_SOUND * np.sin(np.deg2rad(LATERAL))
    np.testing.assert_allclose(itd(LATERAL, 5, 15), expected, rtol=1e-3)


def test_a_near_source_deepens_the_level_difference_at_low_frequency():
    def ild(distance):
        ears = np.abs(sphere_transfer([0, 180], [300.0], RADIUS, distance))
        return 20 * np.log10(ears[0, 0] / ears[1, 0])

    assert ild(math.inf) < ild(1.0) < ild(0.25)
    assert ild(0.125) > 15


@pytest.mark.parametrize("distance", [1.02 * RADIUS, math.inf])
def test_high_orders_stay_finite(distance):
    transfer = sphere_transfer(np.arange(0, 181, 5), [0, 1e-3, 1e5], RADIUS, distance)
    assert np.isfinite(transfer).all()


def test_mirrored_azimuths_swap_the_ears():
    head = rigid_sphere(16000)
    mirrored = np.stack([head.at(-azimuth)[::-1] for azimuth in head.azimuth])
    np.testing.assert_allclose(mirrored, head.responses, atol=1e-6)


def test_front_equals_back_for_ears_at_90_degrees_only():
    def front_back(ear_angle):
        head = rigid_sphere(16000, [40, 140], ear_angle=ear_angle)
        return np.abs(head.at(40) - head.at(140)).max()

    assert front_back(90) < 1e-6
    assert front_back(100) > 0.01


@pytest.mark.parametrize("rate", RATES)
def test_the_nearer_ear_is_earlier_and_louder(rate):
    head = rigid_sphere(rate, [20, 60, 90, 120, 160])
    (left, right), energy = head.onsets().T, (head.responses**2).sum(-1).T
    assert (left < right).all()
    assert (energy[0] > energy[1]).all()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("distance", [math.inf, 0.2])
def test_responses_start_and_end_in_silence(rate, distance):
    energy = rigid_sphere(rate, distance=distance).responses.astype(float) ** 2
    edges = energy[..., :4].sum(-1) + energy[..., -4:].sum(-1)
    assert (edges < 1e-5 * energy.sum(-1)).all()


@pytest.mark.parametrize("rate", RATES)
def test_responses_have_the_transfer_functions_magnitude(rate):
    head = rigid_sphere(rate)
    frequency = np.fft.rfftfreq(head.responses.shape[-1], 1 / rate)
    passed = frequency <= 0.8 * rate / 2
    actual = np.abs(np.fft.rfft(head.responses))[:, 0, passed]
    expected = np.abs(sphere_transfer(head.azimuth - 100, frequency[passed]))
    np.testing.assert_allclose(20 * np.log10(actual / expected), 0, atol=0.1)


@pytest.mark.parametrize("rate", RATES)
def test_sound_is_at_the_centre_after_a_third_of_the_duration(rate):
    head = rigid_sphere(rate, [0], radius=1e-3, duration=0.015)
    lag = np.argmax(head.responses[0], axis=-1) / rate
    np.testing.assert_allclose(lag, 0.005, atol=1 / rate)


def test_every_rate_gives_one_itd():
    def delay(rate):
        left, right = np.fft.rfft(rigid_sphere(rate, [90]).responses[0], rate)
        return np.angle(left[500] / right[500]) / (2 * np.pi * 500)

    np.testing.assert_allclose([delay(rate) for rate in RATES], delay(96000), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"radius": 0.0}, "radius is 0.0 m; expected a positive length"),
        ({"radius": math.nan}, "radius is nan"),
        ({"distance": 0.05}, "distance is 0.05 m; expected at least 1.01 radii"),
        ({"distance": math.nan}, "distance is nan"),
        ({"duration": 0.001}, r"duration is 0.001 s; expected at least 0\.0"),
        ({"rate": 0}, "rate is 0 Hz; expected a positive whole number"),
        ({"rate": 8000.5}, "rate is 8000.5 Hz"),
        ({"azimuths": [10, math.nan]}, "azimuth: expected finite degrees"),
        ({"azimuths": [10, 370]}, "azimuth 10 is there twice"),
    ],
)
def test_unusable_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        rigid_sphere(**{"rate": 16000, **arguments})


@pytest.mark.parametrize("frequency", [-1.0, math.nan, math.inf])
def test_unusable_frequencies_are_refused(frequency):
    with pytest.raises(ValueError, match="frequency: expected finite values"):
        sphere_transfer([0], [100.0, frequency])


def test_directions_are_sorted_into_one_turn():
    impulses = np.arange(1.0, 5)[:, None, None] * np.ones((1, 2, 3))
    head = HeadResponses.from_directions([90, -1e-9, -90, 365], impulses, 8000, "set")
    assert head.azimuth.tolist() == [0, 5, 90, 270]
    assert head.responses[:, 0, 0].tolist() == [2, 4, 1, 3]


@pytest.mark.parametrize(("asked", "found"), [(359.7, 0), (-0.3, 0), (725.4, 5)])
def test_at_picks_the_nearest_direction_on_the_circle(asked, found):
    head = rigid_sphere(8000, [0, 5, 355])
    assert np.array_equal(head.at(asked), head.responses[found // 5])


@pytest.mark.parametrize("azimuth", [3.0, 180.0, math.nan])
def test_at_names_the_set_the_azimuth_and_what_there_is(azimuth):
    head = rigid_sphere(8000, [0, 7.5, 355])
    message = f"sphere: .* azimuth {azimuth:g}; available: 0, 7.5, 355$"
    with pytest.raises(ValueError, match=message):
        head.at(azimuth)


@pytest.mark.parametrize(("source", "target"), [(44100, 16000), (16000, 8000)])
def test_resampled_keeps_the_frequency_response(source, target):
    original = rigid_sphere(source, [0, 60, 200])
    changed = original.resampled(target)
    assert changed.rate == target
    hertz = np.arange(50, int(0.45 * target), 50)
    before, after = (
        np.abs(np.fft.rfft(head.responses, head.rate)[..., hertz])
        for head in (original, changed)
    )
    np.testing.assert_allclose(20 * np.log10(after / before), 0, atol=0.15)


@pytest.mark.parametrize("rate", [0, -8000, 0.5, math.nan])
def test_resampled_refuses_other_than_positive_whole_rates(rate):
    with pytest.raises(ValueError, match="expected a positive whole number"):
        rigid_sphere(8000, [0]).resampled(rate)


def test_direct_removes_an_echo_and_leaves_the_first_sound():
    head = rigid_sphere(16000, duration=0.012)
    echo = np.zeros((1, 2, 400), np.float32)
    echo[..., 300] = 0.5
    room = np.pad(head.responses, ((0, 0), (0, 0), (0, 400 - 192))) + echo
    direct = HeadResponses.from_directions(head.azimuth, room, 16000, "room").direct()
    taps = direct.responses.shape[-1]
    assert taps < 192
    lost = np.linalg.norm(head.responses[..., :taps] - direct.responses)
    assert lost < 0.01 * np.linalg.norm(head.responses)


def test_direct_cuts_both_ears_at_one_time():
    responses = np.zeros((1, 2, 200))
    responses[0, 0, 20:] = 1
    responses[0, 1, 30:] = 1
    left, right = (
        HeadResponses.from_directions([90], responses, 16000, "steps")
        .direct(2.5)
        .responses[0]
    )
    assert len(left) == 60
    np.testing.assert_array_equal(left[30:], right[30:])
    np.testing.assert_array_equal(left[20:52], 1)
    assert (np.diff(left[52:]) < 0).all()
    assert left[-1] < 0.1


@pytest.mark.parametrize("milliseconds", [0.0, -1.0, math.nan])
def test_direct_refuses_other_than_a_positive_time(milliseconds):
    with pytest.raises(ValueError, match="expected a positive time"):
        rigid_sphere(8000, [0]).direct(milliseconds)
