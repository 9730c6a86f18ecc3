"""Parts of the dock that can be folded away."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QToolButton, QVBoxLayout, QWidget

__all__ = ["Section", "wrapped"]


class Section(QWidget):
    """A title that shows and hides what is below it.

    Parameters
    ----------
    title : str
        The title.
    content : QWidget
        What is below.
    open_ : bool
        Whether it is shown at first.
    strong : bool
        Whether it is one of the steps, and not a detail.
    """

    def __init__(self, title: str, content: QWidget, *, open_: bool = True, strong: bool = False) -> None:
        super().__init__()
        self.content = content
        self.header = QToolButton()
        self.header.setText(title)
        self.header.setCheckable(True)
        self.header.setAutoRaise(True)
        self.header.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        font = self.header.font()
        font.setBold(strong)
        self.header.setFont(font)
        self.header.toggled.connect(self._fold)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.header)
        layout.addWidget(content)
        self.header.setChecked(open_)
        self._fold(open_)

    def set_open(self, open_: bool) -> None:
        """Show or hide the content."""
        self.header.setChecked(open_)

    def _fold(self, open_: bool) -> None:
        self.header.setArrowType(Qt.ArrowType.DownArrow if open_ else Qt.ArrowType.RightArrow)
        self.content.setVisible(open_)


def wrapped(text: str = "") -> QLabel:
    """Return a label of several lines, whose text can be copied."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
