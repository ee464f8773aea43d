"""Logs after and beside the run: parts on the disk, what is in them, how two differ, pages and other formats."""
