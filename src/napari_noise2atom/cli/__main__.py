"""``python -m napari_noise2atom.cli`` is the command ``noise2atom``."""

from . import main

main()
