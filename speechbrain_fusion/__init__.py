"""Speech enhancement and separation for SpeechBrain: layers, losses, recipes."""

__version__ = "0.1.0"
