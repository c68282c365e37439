"""Training loops, and what starts and stops them."""

from speechbrain_fusion.brains.checkpointer import Checkpointer
from speechbrain_fusion.brains.compare import compare_variants
from speechbrain_fusion.brains.enhancement import EnhancementBrain
from speechbrain_fusion.brains.gradient_modulation import GradientModulationBrain
from speechbrain_fusion.brains.launch import start_run
from speechbrain_fusion.brains.modulated import ModulatedEnhancementBrain
from speechbrain_fusion.brains.modulation import modulate_gradients
from speechbrain_fusion.brains.modulation_settings import Modulation
from speechbrain_fusion.brains.schedules import EarlyStoppingCounter, LinearDecay
from speechbrain_fusion.brains.separation import SeparationBrain
from speechbrain_fusion.brains.shared_latent import SharedLatentBrain
from speechbrain_fusion.brains.speech_stage import SpeechStage
from speechbrain_fusion.brains.train_log import TrainLog
from speechbrain_fusion.brains.trials import run_trials
from speechbrain_fusion.brains.two_branch import TwoBranchBrain

__all__ = [
    "Checkpointer",
    "EarlyStoppingCounter",
    "EnhancementBrain",
    "GradientModulationBrain",
    "LinearDecay",
    "ModulatedEnhancementBrain",
    "Modulation",
    "SeparationBrain",
    "SharedLatentBrain",
    "SpeechStage",
    "TrainLog",
    "TwoBranchBrain",
    "compare_variants",
    "modulate_gradients",
    "run_trials",
    "start_run",
]
