"""What every room stands on: arrays, rotations, configuration, errors, files, state, progress, constants."""
