"""Everything with a wire: servo bus and sensor board. Not part of this release."""
