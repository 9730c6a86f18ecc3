"""Learning from a movie: losses, stages, guards, and the stream of events."""

from .loop import train
from .runfolder import load_run_settings

__all__ = ["load_run_settings", "train"]
