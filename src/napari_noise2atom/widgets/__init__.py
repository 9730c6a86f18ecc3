"""The dock: all that needs a window. Widgets own settings, start streams and show events; they compute nothing."""
