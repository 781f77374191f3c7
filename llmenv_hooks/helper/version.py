"""The version of the package, which `llmenv --version` and the packed files name."""

__version__ = "0.2.0"
