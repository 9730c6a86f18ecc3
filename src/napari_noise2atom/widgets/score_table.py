"""The table of a comparison: a row for each method, with its scores or the reason why there are none."""

from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QIcon, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QSizePolicy, QTableWidget, QTableWidgetItem

from napari_noise2atom.comparison import MethodFailed, MethodFinished

__all__ = ["ScoreTable"]

SCORES = {
    "css": (
        "CSS",
        "Agreement of neighbouring frames; a blank movie and one that is smeared along time have a high one.",
    ),
    "raw_css": ("raw CSS", "The same of the movie itself."),
    "low_pass_correlation": (
        "low-pass",
        "Correlation of movie and result, both blurred: where it is far below 1, something was lost.",
    ),
}
"""By name in the summary: title and tooltip."""
SECONDS = ("seconds", "What denoising took, training included.")
SWATCH = QSize(20, 8)
SPACE_PX = 8
"""Around texts."""


class ScoreTable(QTableWidget):
    """Shows how methods end; it is as high as its rows."""

    def __init__(self) -> None:
        columns = (("method", "With the line of its curve."), *SCORES.values(), SECONDS)
        super().__init__(0, len(columns))
        for number, (title, tip) in enumerate(columns):
            item = QTableWidgetItem(title)
            item.setToolTip(tip)
            self.setHorizontalHeaderItem(number, item)
            # of fixed width: a reason must not stretch what it spans
            self.setColumnWidth(number, self._width(max(title, "-0.0000", key=len)))
        self.setIconSize(SWATCH)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSizeAdjustPolicy(QAbstractItemView.SizeAdjustPolicy.AdjustToContents)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        header, rows = self.horizontalHeader(), self.verticalHeader()
        assert header is not None
        assert rows is not None
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        rows.setDefaultSectionSize(self.fontMetrics().height() + SPACE_PX)
        rows.hide()

    def _width(self, text: str) -> int:
        return self.fontMetrics().horizontalAdvance(text) + 2 * SPACE_PX

    def clear_rows(self) -> None:
        """Begin afresh."""
        self.clearSpans()
        self.setRowCount(0)

    def begin(self, title: str) -> None:
        """Add the row of a method."""
        row = self.rowCount()
        self.insertRow(row)
        method = QTableWidgetItem(title)
        method.setToolTip(title)
        self.setItem(row, 0, method)

    def finish(self, event: MethodFinished, pen: QPen) -> None:
        """Show the scores of the newest method, and the line of its curve."""
        row, summary = self.rowCount() - 1, event.scores.summary
        item = self.item(row, 0)
        assert item is not None
        item.setIcon(_swatch(pen))
        texts = [*(f"{summary[name]:.3f}" for name in SCORES), f"{event.seconds:.1f}"]
        for column, text in enumerate(texts, start=1):
            number = QTableWidgetItem(text)
            number.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, column, number)

    def fail(self, event: MethodFailed) -> None:
        """Show why the newest method has no result."""
        row, columns = self.rowCount() - 1, range(1, self.columnCount())
        reason = QTableWidgetItem(event.reason)
        reason.setToolTip(event.reason)
        self.setItem(row, 1, reason)
        self.setSpan(row, 1, 1, len(columns))
        space = QRect(0, 0, sum(map(self.columnWidth, columns)) - 2 * SPACE_PX, 0)
        lines = self.fontMetrics().boundingRect(space, Qt.TextFlag.TextWordWrap, event.reason)
        self.setRowHeight(row, lines.height() + SPACE_PX)


def _swatch(pen: QPen) -> QIcon:
    """Return a short piece of a line."""
    picture = QPixmap(SWATCH)
    picture.fill(Qt.GlobalColor.transparent)
    thick = QPen(pen)
    thick.setWidth(2)
    painter = QPainter(picture)
    painter.setPen(thick)
    painter.drawLine(0, SWATCH.height() // 2, SWATCH.width(), SWATCH.height() // 2)
    painter.end()
    return QIcon(picture)
