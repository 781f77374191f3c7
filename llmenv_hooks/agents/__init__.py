"""What each coding agent's file looks like, which entries in it are ours, and how it is edited."""
