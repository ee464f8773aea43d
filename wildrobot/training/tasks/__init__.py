"""What is learned: the environment, walking, tracking, and how hard it is made."""
