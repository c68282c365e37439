"""Training loops, and what starts and stops them."""

from speechbrain_fusion.brains.checkpointer import Checkpointer
from speechbrain_fusion.brains.enhancement import EnhancementBrain
from speechbrain_fusion.brains.launch import start_run
from speechbrain_fusion.brains.trials import run_trials

__all__ = ["Checkpointer", "EnhancementBrain", "run_trials", "start_run"]
