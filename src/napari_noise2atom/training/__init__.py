"""Learning from a movie: losses, stages, guards, and the stream of events."""

from .leader import assist
from .loop import train
from .processes import run_processes
from .runfolder import load_run_settings

__all__ = ["assist", "load_run_settings", "run_processes", "train"]
