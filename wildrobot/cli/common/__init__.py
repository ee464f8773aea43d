"""What several commands have in common: their arguments, what they write and print, the extras they need."""
