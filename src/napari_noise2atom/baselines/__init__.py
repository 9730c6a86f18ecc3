"""The methods with which the paper compares, and those that came later, behind one call."""

from .method import Method, Progress, UnavailableError

__all__ = ["METHODS", "Method", "Progress", "UnavailableError"]

METHODS: dict[str, Method] = {
    method.name: method for method in (Method("raw", "Raw", "the movie itself", "filters:raw"),)
}
