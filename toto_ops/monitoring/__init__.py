"""Pure decisions about the running system: what is stale, late, worth an alert or ready to join; and how alerts are sent."""
