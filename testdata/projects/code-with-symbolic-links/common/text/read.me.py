# a name with a dot
