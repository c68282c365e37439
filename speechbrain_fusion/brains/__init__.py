"""Training loops, and what starts and stops them."""

from speechbrain_fusion.brains.checkpointer import Checkpointer
from speechbrain_fusion.brains.enhancement import EnhancementBrain
from speechbrain_fusion.brains.gradient_modulation import GradientModulationBrain
from speechbrain_fusion.brains.launch import start_run
from speechbrain_fusion.brains.modulation import Modulation, modulate_gradients
from speechbrain_fusion.brains.trials import run_trials

__all__ = [
    "Checkpointer",
    "EnhancementBrain",
    "GradientModulationBrain",
    "Modulation",
    "modulate_gradients",
    "run_trials",
    "start_run",
]
