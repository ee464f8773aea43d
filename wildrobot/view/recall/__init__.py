"""What has been: the plots paused and looked through, and the last minute as a log."""
