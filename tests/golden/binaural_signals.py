"""Deterministic binaural test signals behind `mbstoi.json`."""

import numpy as np


def signals(case: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (clean left, clean right, processed left, processed right), float64.

    The "talker" is noise shaped by a slow random envelope, delayed by `itd`
    samples and attenuated by `ild` dB at the right ear; the interferer is
    stationary noise with its own delay and level difference, added at `snr` dB
    (power summed over both ears). `gain` scales the processed signals.
    """
    rng = np.random.default_rng(case["seed"])
    count = int(case["seconds"] * case["rate"])

    def source(envelope_rate, itd, ild):
        carrier = rng.standard_normal(count + 64)
        if envelope_rate:
            knots = (
                rng.uniform(0, 1, int(count / case["rate"] * envelope_rate) + 3) ** 2
            )
            grid = np.linspace(0, len(knots) - 1, carrier.size)
            carrier = carrier * np.interp(grid, np.arange(len(knots)), knots)
        left = carrier[32 : 32 + count]
        right = carrier[32 - itd : 32 - itd + count] * 10 ** (-ild / 20)
        return left, right

    clean_left, clean_right = source(8, case["itd"], case["ild"])
    noise_left, noise_right = source(0, case["noise_itd"], case["noise_ild"])
    clean_power = np.sum(clean_left**2 + clean_right**2)
    noise_power = np.sum(noise_left**2 + noise_right**2)
    scale = np.sqrt(clean_power / noise_power / 10 ** (case["snr"] / 10))
    return (
        clean_left,
        clean_right,
        case["gain"] * (clean_left + scale * noise_left),
        case["gain"] * (clean_right + scale * noise_right),
    )
