"""One interface, four backbones: Toto, Chronos, the project's own transformer, and statistics without weights."""
