"""Markets on which the right verdict is known, and the measures of a system that is to reach it.

- **Leaked.** The next return is published at the close. What learns from that is nearly perfect, and must be quarantined.
- **Planted.** Trends that last. The optimum is known, and what comes near enough to it must be promoted.
- **Null.** Nothing can be known. Nothing may be promoted.
"""
