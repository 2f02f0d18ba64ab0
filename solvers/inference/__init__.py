"""What outcomes say about the game: counts, and the reward that explains all of the follower's responses."""
