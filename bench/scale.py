def tables(*a): return []
