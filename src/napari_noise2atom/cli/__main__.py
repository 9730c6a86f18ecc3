"""``python -m napari_noise2atom.cli`` is the command ``noise2atom``."""

from . import main
from .group import is_launched, leave

try:
    main()
except SystemExit as end:
    if is_launched():
        leave(end.code)
    raise
