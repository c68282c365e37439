import pytest

from speechbrain_fusion.brains import TrainLog


def test_the_text_is_upstreams(tmp_path):
    log = TrainLog(tmp_path / "log.txt")
    log.log_stats({"epoch": 1, "lr": 0.1}, {"loss": 2.0}, {"si_sdr": 5.0}, None, False)
    text = (tmp_path / "log.txt").read_text()
    assert text == "epoch: 1, lr: 1.00e-01 - train loss: 2.00 - valid si_sdr: 5.00\n"
    assert not (tmp_path / "tensorboard").exists()


@pytest.mark.slow
def test_tensorboard_shows_the_same_figures_at_their_epochs(tmp_path):
    events = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    for epochs in ((1, 2), (3,)):
        # the second time after a restart
        log = TrainLog(tmp_path / "log.txt", tensorboard=True)
        for epoch in epochs:
            figures = {"conflict_noise": 0.25 * epoch}
            log.log_stats({"epoch": epoch, "lr": 0.5}, figures, {"loss": 1.0})
    board = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(board.Tags()["scalars"]) == {"lr", "conflict_noise/train", "loss/valid"}
    TrainLog(tmp_path / "speech.txt", True, stage="speech").log_stats(
        {"epoch": 1}, {"loss": 7.0}, verbose=False
    )
    stage = events.EventAccumulator(str(tmp_path / "tensorboard/speech")).Reload()
    assert [x.value for x in stage.Scalars("loss/train")] == [7.0]
    points = [(x.step, x.value) for x in board.Scalars("conflict_noise/train")]
    assert points == [(1, 0.25), (2, 0.5), (3, 0.75)]


def test_a_missing_tensorboard_is_named(tmp_path, hide_library):
    hide_library("torch.utils.tensorboard")
    with pytest.raises(ImportError, match=r"speechbrain-fusion\[tensorboard\]"):
        TrainLog(tmp_path / "log.txt", tensorboard=True)
