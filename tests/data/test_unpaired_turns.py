"""Fixed items go together by their SNRs, and a noise may be added to any mixture."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from speechbrain_fusion.data.manifest import write_manifest
from tests.data.daps_tree import place_of
from tests.data.test_unpaired import level, noisy


@pytest.mark.parametrize("pure_noise", [0.0, 0.3])
def test_fixed_items_of_a_turn_share_everything_but_the_snr(
    files, tmp_path, pure_noise
):
    entry = place_of(tmp_path / "t0_clean.wav")
    many = {f"s{n}": {**entry, "utterance": f"s{n}"} for n in range(32)}
    write_manifest(tmp_path / "many.json", many)
    options = {"fixed": True, "size": 48, "pure_noise": pure_noise, "added_snr": (0, 9)}
    options |= {"clean": files["speech"], "rooms": files["rooms"], "room_share": 0.5}
    mixtures = noisy({**files, "many": tmp_path / "many.json"}, "many", **options)
    plans = [mixtures.plan(1, index) for index in range(48)]
    turns: dict[str, list] = {}
    for plan in plans:
        if not plan.pure_noise:
            turns.setdefault(plan.speech["utterance"], []).append(plan)
    last = [*turns.values()].pop()
    for heard in turns.values():
        assert {replace(plan, snr=0).__repr__() for plan in heard} == {
            replace(heard[0], snr=0).__repr__()
        }
        snrs = [plan.snr for plan in heard]
        assert snrs == [-5, 0, 5] or heard is last
    if not pure_noise:
        assert len(turns) == 16
        assert {*Counter(plan.snr for plan in plans).values()} == {16}
    # others differ in more than the speech
    assert len({heard[0].place for heard in turns.values()}) == len(turns)


@pytest.mark.slow
@pytest.mark.parametrize("fixed", [False, True])
def test_a_mixture_has_its_snr_over_another_noise_that_is_added(files, fixed):
    options = {"clean": files["speech"], "size": 30, "fixed": fixed}
    mixtures, again, other = (
        noisy(files, added_snr=(-3, 6), seed=seed, **options) for seed in (1, 1, 2)
    )
    plain = noisy(files, seed=1, **options)
    found = []
    for index in range(30):
        plan, item = mixtures.plan(2, index), mixtures[(2, index)]
        assert {*item.signals} == {"mixture", "clean", "added"}
        mixture, added = (item.signals[x] for x in ("mixture", "added"))
        assert added.shape == mixture.shape == (1, 8000)
        snr = level(mixture) - level(added)
        assert snr == pytest.approx(plan.added_snr, abs=1e-4)
        found.append(snr)
        assert item.info["added"] != item.info["noise"]
        assert torch.equal(added, again[(2, index)].signals["added"])
        assert not torch.equal(added, other[(2, index)].signals["added"])
        # the option changes nothing else
        assert torch.equal(mixture, plain[(2, index)].signals["mixture"])
        assert "added" not in plain[(2, index)].signals
    assert -3 <= min(found) < 0 < 3 < max(found) <= 6
    assert "added" not in noisy(files, added_snr=(0, 0), paired=True)[(1, 0)].signals


def test_the_only_noise_is_added_at_another_place(files, tmp_path):
    hiss = {"noise0": place_of(tmp_path / "noise0.wav", 16000)}
    write_manifest(tmp_path / "one.json", hiss)
    mixtures = noisy({**files, "noise": tmp_path / "one.json"}, added_snr=(0, 0))
    plan = mixtures.plan(1, 0)
    assert plan.added == plan.noise
    assert plan.added_place != plan.noise_place
