"""Everything PettingZoo and Gymnasium want, written once over `stackelberg_envs.views.episode.Episode`."""
