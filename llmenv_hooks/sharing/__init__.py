"""Which of the servers that agents start for themselves can be shared, and what that changes."""
