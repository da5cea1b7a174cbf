"""What every command shares: errors, parser, files and the parallel map.

A package of its own, below all others, because each of them needs it and it needs
none of them.
"""
