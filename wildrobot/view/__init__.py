"""The live page: a process of its own that knows only LCM. Messages in, velocity commands out."""
