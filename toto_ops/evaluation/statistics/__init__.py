"""What series of returns earned and risked, with intervals, and how much of it could be luck."""
