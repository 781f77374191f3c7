"""The subcommands of `llmenv`, one module each, and the rooms that several of them use.

`app` puts them together.
"""
