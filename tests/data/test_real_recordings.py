"""The data path on real speech, noise and measured heads and rooms."""

import pytest

from speechbrain_fusion.data import BinauralScenes, load_responses, prepare_recordings
from speechbrain_fusion.metrics import ild_error, itd_error, snr

NOISES = {"valid": ["storm"], "test": ["babble20", "city"]}


@pytest.fixture
def manifests(real_data, tmp_path):
    return prepare_recordings(real_data, tmp_path, 8000, 4.0, NOISES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "head",
    [
        "mit_kemar_normal_horizontal_16k.npz",
        "mit_kemar_normal_pinna.sofa",
        "unis_cortex_anechoic_horizontal_16k.npz",
        "unis_cortex_roomA_horizontal_16k.npz",
    ],
)
def test_scenes_of_real_recordings(real_data, manifests, head):
    responses = load_responses(real_data / "hrir" / head, 8000)
    scenes = BinauralScenes(
        manifests["speech_test"],
        manifests["noise_test"],
        responses,
        size=8,
        fixed=True,
        target_part="direct" if "room" in head else "full",
    )
    for index in range(len(scenes)):
        scene = scenes[(1, index)]
        mixture, target = (scene.signals[k][None] for k in ("mixture", "target"))
        assert scene.info["noise"] in NOISES["test"]
        assert mixture.shape == target.shape
        assert mixture.abs().max() < 1
        if "room" not in head:
            energy = (mixture - target).square().sum(), target.square().sum()
            drawn = 10 * (energy[1] / energy[0]).log10()
            assert float(drawn) == pytest.approx(scene.info["snr"], abs=0.05)
        assert snr(target, mixture).isfinite().all()
        assert ild_error(target, mixture, 8000).isfinite().all()
        assert itd_error(target, mixture, 8000).isfinite().all()


@pytest.mark.slow
def test_a_talker_on_the_left_is_louder_and_earlier_there(real_data, manifests):
    responses = load_responses(real_data / "hrir/mit_kemar_normal_pinna.sofa", 8000)
    scenes = BinauralScenes(
        manifests["speech_test"],
        manifests["noise_test"],
        responses,
        size=2,
        target_azimuths=[90.0],
    )
    target = scenes[(1, 0)].signals["target"].double()
    left, right = target.square().sum(-1)
    assert left > 2 * right
    lag = 8
    pairs = [
        float((target[0, lag : -lag or None] * target[1].roll(-shift)[lag:-lag]).sum())
        for shift in range(-lag, lag + 1)
    ]
    # the right ear hears it some 5 samples (0.6 ms) later
    assert 3 <= max(range(2 * lag + 1), key=pairs.__getitem__) - lag <= 7
