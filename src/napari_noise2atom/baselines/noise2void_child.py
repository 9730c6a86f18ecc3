"""Noise2Void by CAREamics: a program of its own, for an interpreter in which that package is installed.

The only argument is a folder with ``movie.npy`` (t, y, x) and ``request.json``; the result is ``denoised.npy`` in it.
Every line of the standard output is a JSON object: ``{"progress": share}``, or ``{"unavailable": why}`` if CAREamics
cannot be imported. Nothing else of napari_noise2atom is needed here.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

PATCH_PX = 64
BATCH_SIZE = 16
EPOCHS = 30
BATCHES_PER_EPOCH = 30
VALIDATION_PATCHES = 8
TILE_PX = 512
TRAINING_SHARE = 0.9
MULTIPLE_PX = 4
"""The package's network halves the frame twice; frames are padded to a multiple of this."""

_messages = sys.stdout


def say(**words: object) -> None:
    """Tell the parent; this program ends if nobody listens any more."""
    print(json.dumps(words), file=_messages, flush=True)


def configuration(request: dict[str, Any], shape: tuple[int, ...]) -> Any:
    """Return what CAREamics is to do with a movie of a shape: its defaults, and a mask along x for struct-N2V."""
    from careamics.config.factories import create_advanced_n2v_config

    kind, _, number = str(request["device"]).partition(":")
    structured = request["mask_px"] > 1
    patches = shape[0] * (shape[1] // PATCH_PX) * (shape[2] // PATCH_PX)
    return create_advanced_n2v_config(
        experiment_name="movie",
        data_type="array",
        axes="SYX",
        patch_size=[PATCH_PX, PATCH_PX],
        batch_size=BATCH_SIZE,
        num_epochs=EPOCHS,
        num_steps=BATCHES_PER_EPOCH,
        n_val_patches=max(1, min(VALIDATION_PATCHES, patches // 4)),
        # a mask along x has a direction, which a rotation would change
        augmentations=[] if structured else None,
        struct_n2v_axes="horizontal" if structured else "none",
        struct_n2v_span=request["mask_px"] if structured else 5,
        num_workers=0,
        trainer_params={
            "accelerator": {"cuda": "gpu"}.get(kind, kind),
            "devices": [int(number)] if number else 1,
            "max_time": {"minutes": request["minutes"]},
            "enable_model_summary": False,
        },
        seed=request["seed"] % (2**32 - 1) + 1,  # the package takes no 0
    )


def listener(request: dict[str, Any]) -> Any:
    """Return a callback of Lightning that tells the progress."""
    from lightning.pytorch import Callback

    class Listener(Callback):  # type: ignore[misc]
        def on_train_start(self, trainer: Any, module: Any) -> None:
            self.start = time.monotonic()

        def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
            by_time = (time.monotonic() - self.start) / (60 * request["minutes"])
            by_steps = trainer.global_step / (EPOCHS * BATCHES_PER_EPOCH)
            say(progress=TRAINING_SHARE * min(1.0, max(by_time, by_steps)))

        def on_predict_batch_end(
            self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int, *args: Any
        ) -> None:
            share = (index + 1) / sum(trainer.num_predict_batches)
            say(progress=TRAINING_SHARE + (1 - TRAINING_SHARE) * min(1.0, share))

    return Listener()


def denoise(folder: Path, request: dict[str, Any]) -> None:
    """Train on the movie and leave the denoised one in the folder."""
    from careamics import CAREamist

    movie = np.load(folder / "movie.npy")
    frames, height, width = movie.shape
    padded = np.pad(movie, ((0, 0), (0, -height % MULTIPLE_PX), (0, -width % MULTIPLE_PX)), mode="edge")
    task = configuration(request, padded.shape)
    careamist = CAREamist(task, work_dir=folder, callbacks=[listener(request)], enable_progress_bar=False)
    careamist.train(train_data=padded)
    # the package's own "last" one may be some epochs old
    trained = folder / "trained.ckpt"
    careamist.trainer.save_checkpoint(trained)
    tile = (TILE_PX, TILE_PX) if min(height, width) > TILE_PX else None
    parts, _ = careamist.predict(padded, batch_size=1, tile_size=tile, checkpoint=trained)
    denoised = np.concatenate([np.asarray(part).reshape(-1, *padded.shape[1:]) for part in parts])
    np.save(folder / "denoised.npy", denoised[:frames, :height, :width].astype(np.float32))


def main(folder: Path) -> None:
    """Do what the request in the folder asks for."""
    sys.stdout = sys.stderr  # what the packages print is no message
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    try:
        import careamics  # noqa: F401
        import torch
    except ImportError as error:
        say(unavailable=str(error))
        return
    torch.set_num_threads(request["threads"])
    denoise(folder, request)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
