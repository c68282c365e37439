"""Numbers of items that are none are refused before anything is read or written."""

import pytest

from speechbrain_fusion.data import (
    clarity_scenes,
    noisy_mixtures,
    noisy_speech,
    recorded_scenes,
    unpaired_speech,
)

SEEDS = {"train": 0, "valid": 1, "test": 2}
CORPORA = {
    "binaural": lambda folder, counts: recorded_scenes(
        None, folder, 8000, 1.0, counts, SEEDS, demo_folder=folder / "demo"
    ),
    "clarity": lambda folder, counts: clarity_scenes(
        folder, folder, 8000, 1.0, counts, SEEDS
    ),
    "timit": lambda folder, counts: noisy_speech(
        None, None, folder, 8000, 1.0, counts, SEEDS, demo_folder=folder / "demo"
    ),
    "librimix": lambda folder, counts: noisy_mixtures(
        None, folder, 8000, 2, "min", 1.0, counts, SEEDS, recordings=folder
    ),
    "daps": lambda folder, counts: unpaired_speech(
        *(None, None, folder, 16000),
        segment=1.0,
        counts=counts,
        seeds=SEEDS,
        recordings=folder,
        disjoint=["speaker"],
    ),
}


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("count", [0, -1, 6.5, "many", True])
def test_a_number_of_items_that_is_none_is_refused(tmp_path, corpus, count):
    counts = {"train": 4, "valid": count, "test": 2}
    with pytest.raises(ValueError, match=r"scene_counts.*number of items .* 'valid'"):
        CORPORA[corpus](tmp_path, counts)
    assert not list(tmp_path.iterdir())
