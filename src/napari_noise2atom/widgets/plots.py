"""Live curves and small pictures."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QImage, QPen, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_noise2atom.events import Score, Step
from napari_noise2atom.trust import NULLS, NullKind

__all__ = ["AtomsPlot", "CssPlot", "Curves", "MethodsPlot", "PictureRow", "TrainingPlots"]

MOST_POINTS = 2000
"""Of a curve; when there are more, every other one is dropped."""
GREY, BLUE, ORANGE, GREEN, PURPLE = "#999999", "#56B4E9", "#E69F00", "#009E73", "#CC79A7"
"""Colours of Okabe and Ito, which the colour-blind can tell apart, on dark and on light ground."""
COLOURS = {
    "critic": PURPLE,
    "adversarial": ORANGE,
    "cycle": BLUE,
    "low-frequency cycle": GREEN,
    "pairs": ORANGE,
    "raw css": GREY,
    "css": BLUE,
    "movie": BLUE,
    "pixel shuffle": ORANGE,
    "phase shuffle": PURPLE,
    "noise model": GREEN,
}
"""Of the curves that are drawn; the others of a run are in its history file."""
METHOD_COLOURS = (GREY, ORANGE, BLUE, GREEN, PURPLE, "#0072B2")
METHOD_LINES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)
"""When the colours are used up, they come again, dashed and then dotted."""
TITLES = {"raw css": "raw", "css": "denoised"}
THRESHOLDS = {"cycle": 0.05, "low-frequency cycle": 0.1}
"""Below which the paper calls a training converged."""


class Curves:
    """Named values over steps, of bounded length."""

    def __init__(self) -> None:
        self._points: dict[str, list[tuple[float, float]]] = {}

    def add(self, step: float, values: Mapping[str, float]) -> None:
        """Append values at a step; what is no number is left out."""
        for name, value in values.items():
            if np.isfinite(value):
                points = self._points.setdefault(name, [])
                points.append((step, value))
                if len(points) > MOST_POINTS:
                    del points[1::2]

    def of(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return steps and values of a curve."""
        steps, values = np.array(self._points.get(name, []), np.float64).reshape(-1, 2).T
        return steps, values

    def clear(self) -> None:
        """Forget all."""
        self._points.clear()


class _Plot(pg.PlotWidget):  # type: ignore[misc]
    """A small plot on the window's own background."""

    def __init__(self, title: str, names: Iterable[str], *, log: bool = False) -> None:
        super().__init__(background=None)
        self.setMinimumHeight(120)
        self.setMaximumHeight(170)
        item = self.getPlotItem()
        item.setTitle(title, color=GREY, size="9pt")
        item.setMenuEnabled(False)
        item.hideButtons()
        item.showGrid(x=False, y=True, alpha=0.25)
        item.setLogMode(y=log)
        item.addLegend(offset=(-4, 2), labelTextColor=GREY, labelTextSize="8pt", verSpacing=-6, brush=(0, 0, 0, 60))
        for side in ("left", "bottom"):
            axis = item.getAxis(side)
            axis.setPen(GREY)
            axis.setTextPen(GREY)
        item.getAxis("left").setWidth(44)
        # decades alone, or their parts are written over one another
        item.getAxis("left").setStyle(maxTextLevel=0 if log else 2)
        self.curves = {
            name: item.plot(pen=pg.mkPen(COLOURS[name], width=1), name=TITLES.get(name, name)) for name in names
        }

    def draw(self, curves: Curves) -> None:
        """Show the newest values."""
        for name, curve in self.curves.items():
            curve.setData(*curves.of(name))


class TrainingPlots(QWidget):
    """Losses with the paper's thresholds, and CSS beside that of the raw movie."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.curves = Curves()
        self._changed = False
        self.plots = [
            _Plot("Cycle losses", ("cycle", "low-frequency cycle", "pairs"), log=True),
            _Plot("Adversarial losses", ("critic", "adversarial")),
            _Plot("Agreement of neighbouring frames (CSS)", ("css", "raw css")),
        ]
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for plot in self.plots:
            layout.addWidget(plot)
        for plot in self.plots[1:]:
            plot.setXLink(self.plots[0])
        self.plots[-1].getPlotItem().setLabel("bottom", "step", color=GREY)
        for number, (name, level) in enumerate(THRESHOLDS.items()):
            line = pg.InfiniteLine(
                np.log10(level),
                angle=0,
                pen=pg.mkPen(COLOURS[name], width=1, style=Qt.PenStyle.DashLine),
                # below the line, as nothing may be shown above it, and side by side
                label=f"{level:g}",
                labelOpts={"position": 0.04 + 0.1 * number, "color": COLOURS[name], "anchors": [(0, 0), (0, 0)]},
            )
            self.plots[0].addItem(line)

    def add(self, event: Step | Score) -> None:
        """Remember losses or scores; `paint` draws them."""
        self.curves.add(event.step, event.losses if isinstance(event, Step) else event.values)
        self._changed = True

    def clear(self) -> None:
        """Begin afresh."""
        self.curves.clear()
        self._changed = True
        self.paint()

    def paint(self) -> None:
        """Draw what has come since the last call."""
        if self._changed:
            self._changed = False
            for plot in self.plots:
                plot.draw(self.curves)


class _FramePlot(QWidget):
    """Curves over the frames of a movie, with a cursor that is the shown frame."""

    frame_chosen = Signal(int)
    """The user has clicked on a frame or drawn the cursor there."""

    def __init__(self, title: str, names: Iterable[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot = _Plot(title, names)
        item = self.plot.getPlotItem()
        item.setLabel("bottom", "frame", color=GREY)
        item.setMouseEnabled(x=True, y=False)
        self.cursor_line = pg.InfiniteLine(0, movable=True, pen=pg.mkPen("#D55E00", width=2))
        self.cursor_line.sigDragged.connect(lambda line: self.frame_chosen.emit(self._nearest(line.value())))
        self.marks = pg.ScatterPlotItem(symbol="x", size=8, pen=pg.mkPen("#D55E00"))
        self.marks.setToolTip("Frames without an image.")
        self.plot.addItem(self.cursor_line)
        self.plot.addItem(self.marks)
        self.plot.scene().sigMouseClicked.connect(self._click)
        self._frames = 1
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)

    def show_movie(self, frames: int, bad: Sequence[int]) -> None:
        """Prepare for a movie of so many frames, of which some are bad."""
        self._frames = frames
        self.plot.setXRange(0, frames - 1, padding=0.02)
        self.marks.setData(np.array(bad, float), np.zeros(len(bad)))

    def show_frame(self, index: int) -> None:
        """Put the cursor on a frame."""
        self.cursor_line.setValue(index)

    def _click(self, event: "pg.GraphicsScene.mouseEvents.MouseClickEvent") -> None:
        place = self.plot.getPlotItem().vb.mapSceneToView(event.scenePos())
        self.frame_chosen.emit(self._nearest(place.x()))

    def _nearest(self, position: float) -> int:
        return int(np.clip(round(position), 0, self._frames - 1))


class CssPlot(_FramePlot):
    """CSS of each frame with its neighbours, raw and denoised."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("CSS of each frame with its neighbours", ("raw css", "css"), parent)

    def draw(self, raw: NDArray[np.float64], denoised: NDArray[np.float64]) -> None:
        """Show the CSS of each frame, NaN where it is not known."""
        numbers = np.arange(self._frames)
        self.plot.curves["raw css"].setData(numbers, raw, connect="finite")
        self.plot.curves["css"].setData(numbers, denoised, connect="finite")


class MethodsPlot(_FramePlot):
    """CSS of each frame, a curve for each method; whoever shows the pens elsewhere gives the legend."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("CSS of each frame with its neighbours", (), parent)
        self.plot.getPlotItem().legend.hide()

    def show_movie(self, frames: int, bad: Sequence[int]) -> None:
        """Prepare for a movie of so many frames, of which some are bad, and forget the one before."""
        super().show_movie(frames, bad)
        for curve in self.plot.curves.values():
            self.plot.removeItem(curve)
        self.plot.curves.clear()

    def add(self, title: str, css: NDArray[np.float64]) -> QPen:
        """Show the CSS of a method, shape (t,), NaN where it is not known; return the pen of its curve."""
        line, colour = divmod(len(self.plot.curves), len(METHOD_COLOURS))
        pen: QPen = pg.mkPen(METHOD_COLOURS[colour], width=1, style=METHOD_LINES[line % len(METHOD_LINES)])
        self.plot.curves[title] = self.plot.plot(np.arange(len(css)), css, pen=pen, connect="finite")
        return pen


class AtomsPlot(_FramePlot):
    """Atoms of each frame, in the movie and in frames of noise alone."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Atoms found in each frame", ("movie", *NULLS), parent)
        self.plot.getPlotItem().legend.setColumnCount(2)

    def show_movie(self, frames: int, bad: Sequence[int] = ()) -> None:
        """Prepare for a movie of so many frames, and forget the one before."""
        super().show_movie(frames, bad)
        for curve in self.plot.curves.values():
            curve.clear()

    def draw(self, name: Literal["movie"] | NullKind, frames: NDArray[np.intp], counts: NDArray[np.intp]) -> None:
        """Show the atoms of some frames."""
        self.plot.curves[name].setData(frames, counts)
        drawn = [curve.getOriginalDataset()[1] for curve in self.plot.curves.values()]
        highest = max(values.max() for values in drawn if values is not None)
        # room for the legend
        self.plot.setYRange(0, 2 * max(1, highest), padding=0)


class PictureRow(QWidget):
    """Grey pictures in a row, each below its title."""

    def __init__(self, titles: Sequence[str], side_px: int = 128, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._side = side_px
        self.pictures = {title: QLabel() for title in titles}
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for column, (title, picture) in enumerate(self.pictures.items()):
            picture.setFixedSize(side_px, side_px)
            picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
            layout.addWidget(QLabel(title), 0, column, Qt.AlignmentFlag.AlignCenter)
            layout.addWidget(picture, 1, column)
        layout.setColumnStretch(len(titles), 1)

    def show_picture(self, title: str, image: NDArray[np.float32], limits: tuple[float, float] | None = None) -> None:
        """Show an image of shape (y, x); grey values from black to white, by default those of nearly all pixels."""
        low, high = np.nanpercentile(image, (1, 99.7)) if limits is None else limits
        grey = np.clip((np.nan_to_num(image) - low) * (255 / max(high - low, 1e-12)), 0, 255).astype(np.uint8)
        height, width = grey.shape
        picture = QImage(np.ascontiguousarray(grey).tobytes(), width, height, width, QImage.Format.Format_Grayscale8)
        self.pictures[title].setPixmap(
            QPixmap.fromImage(picture).scaled(
                self._side,
                self._side,
                Qt.AspectRatioMode.KeepAspectRatio,
                Qt.TransformationMode.FastTransformation,
            )
        )
