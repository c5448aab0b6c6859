"""Pure decisions about the running system: is anything stale?"""
