"""Playing a process: single steps, batches of episodes, and what the leader sees of them."""
