"""Every HTML page of the project, and what it reads for them."""
