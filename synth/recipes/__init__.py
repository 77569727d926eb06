"""Published methods, one file each: the folder listing is the catalogue."""
