def tables(*a):
    return []
